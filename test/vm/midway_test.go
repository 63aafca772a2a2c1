package vm

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// testAServerIsCutOffInMidInstall halts the machine while the agent is copied to it, and has it lose its power while the
// agent installs the node. It boots with what is on its disk, becomes a node all the same, whose agent is updated, and is given back.
func testAServerIsCutOffInMidInstall(t *testing.T, debian *Server) {
	boot, err := debian.bootID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	debian.applySample(t, 0, debian.version)
	debian.awaitHost(t, time.Minute, "Available")

	fast := slow(t, debian)
	debian.mustKubectl(t, "scale", "nodepool", "servers", "--replicas=1")
	debian.awaitAnswer(t, "ls -A /var/lib/drover-host/ 2>/dev/null || true", ".drover-agent.drover.")
	debian.monitor(t, "stop")
	debian.awaitKubectl(t, 3*time.Minute, "Timeout", "get", "hostmachines", "--output", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].reason}`)
	debian.monitor(t, "cont")
	fast()

	debian.awaitAnswer(t, "systemctl show --property=ActiveState drover-agent", "ActiveState=active")
	debian.run(t, "echo kept > /root/kept && sync")
	debian.monitor(t, "system_reset")
	debian.awaitBoot(t, boot)
	if got := debian.run(t, "cat /root/kept && rm /root/kept"); got != "kept" {
		t.Errorf("The file on the disk holds %q after the reset", got)
	}
	debian.awaitPool(t)

	t.Run("updates of the agent", func(t *testing.T) { updatesOfTheAgent(t, debian, debian.nodeName(t)) })
	debian.mustKubectl(t, "delete", "nodepool", "servers", "--wait=false")
	debian.awaitHost(t, 5*time.Minute, "Available")
	debian.isStock(t)
}

// slow lets no more than a megabyte a second through to the machine, until the function that it returns is called.
func slow(t *testing.T, debian *Server) (fast func()) {
	t.Helper()
	queue := func(args ...string) {
		args = append([]string{"qdisc", args[0], "dev", debian.Link, "root"}, args[1:]...)
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "tc", args...).CombinedOutput(); err != nil {
			t.Errorf("tc %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	queue("add", "tbf", "rate", "8mbit", "burst", "64kb", "latency", "200ms")
	fast = sync.OnceFunc(func() { queue("delete") })
	t.Cleanup(fast)
	return fast
}
