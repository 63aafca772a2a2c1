package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/agents"
)

// updatesOfTheAgent has a server's agent replaced by another version, then by one that ends at once, and hang; systemd sees to
// each. Nothing that runs there notices.
func updatesOfTheAgent(t *testing.T, debian *Server, name string) {
	t.Helper()
	const unit = "systemctl show --property=Type,NotifyAccess,WatchdogUSec,TimeoutStartUSec,KillMode drover-agent"
	debian.awaitAnswer(t, unit+" | sort | tr '\\n' ' '", "KillMode=process NotifyAccess=main TimeoutStartUSec=5min Type=notify WatchdogUSec=5min")
	// Until kube-proxy has written its rules for the first time, it may be started again for them.
	debian.awaitAnswer(t, "nft list tables", "table ip kube-proxy")
	components := func() string { return debian.run(t, "pidof kubelet containerd kube-proxy") }
	before := components()

	good := agents.Serve(t, debian.root, "v9.9.1-vm", agents.Build(t, debian.root, "v9.9.1-vm"))
	wantAgent(t, debian, name, good)
	debian.awaitKubectl(t, 6*time.Minute, "v9.9.1-vm "+agents.Digest(good), "get", "nodeagent", name, "--output", "jsonpath={.status.agentVersion} {.status.agent.digest}")
	if got, want := debian.run(t, "readlink /proc/$(pidof drover-agent)/exe"), "/var/lib/drover/agent/"+strings.TrimPrefix(agents.Digest(good), "sha256:")+"/drover-agent"; got != want {
		t.Errorf("the agent runs from %s, want %s", got, want)
	}
	debian.awaitAnswer(t, "systemctl show --property=SubState drover-agent", "SubState=running") // it said that it is ready

	bad := agents.Serve(t, debian.root, "v9.9.2-vm", []byte("#!/bin/sh\nexit 1\n"))
	wantAgent(t, debian, name, bad)
	debian.awaitKubectl(t, 6*time.Minute, "v9.9.1-vm v9.9.2-vm Exited", "get", "nodeagent", name, "--output", "jsonpath={.status.agentVersion} {.status.agent.failed.version} {.status.agent.failed.reason}")

	debian.run(t, "mkdir -p /run/systemd/system/drover-agent.service.d && printf '[Service]\\nWatchdogSec=20\\n' > /run/systemd/system/drover-agent.service.d/watchdog.conf && systemctl daemon-reload && systemctl restart drover-agent")
	former := debian.run(t, "pidof drover-agent")
	debian.run(t, "kill -STOP "+former)
	eventually(t, 3*time.Minute, "an agent that hangs is started anew", func(ctx context.Context) error {
		now, err := debian.asRoot(ctx, "pidof drover-agent")
		if err == nil && now == former {
			err = fmt.Errorf("it still is process %s", now)
		}
		return err
	})
	debian.run(t, "rm -r /run/systemd/system/drover-agent.service.d && systemctl daemon-reload && systemctl restart drover-agent")
	if now := components(); now != before {
		t.Errorf("the components were the processes %s and are %s", before, now)
	}
}

// wantAgent has a node run a version of the agent.
func wantAgent(t *testing.T, debian *Server, name string, release *v1alpha1.AgentRelease) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"agent": release}})
	if err != nil {
		t.Fatal(err)
	}
	debian.mustKubectl(t, "patch", "nodeagent", name, "--type=merge", "--patch", string(patch))
}
