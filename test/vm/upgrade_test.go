package vm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// upgradeFrom is the version of Kubernetes that the node begins with.
const upgradeFrom = "v1.37.1"

// upgrades has the pool upgrade its node under the pods that run there, and then gives it a kubelet that ends at once: the node
// goes back to what it ran, and the pool says so.
func upgrades(t *testing.T, debian *Server, name string) {
	t.Helper()
	before := ""
	stays := func(when string) {
		t.Helper()
		// A kubelet knows its pods some seconds after it was started.
		eventually(t, 2*time.Minute, "containerd and the pod are the same "+when, func(ctx context.Context) error {
			now, err := debian.lasting(ctx)
			if err == nil && before == "" {
				before = now
			}
			if err == nil && now != before {
				err = fmt.Errorf("there was %s, and is %s", before, now)
			}
			return err
		})
	}
	stays("to begin with")
	kubelet := debian.run(t, "pidof kubelet")

	debian.renewAgent(t)
	debian.wantVersion(t, debian.version)
	debian.awaitVersion(t, name, debian.version)
	if now := debian.run(t, "pidof kubelet"); now == kubelet {
		t.Errorf("the kubelet still is process %s", now)
	}
	stays("after the upgrade")

	broken := debian.version + "-exits"
	debian.renewAgent(t)
	debian.applyBundle(t, broken)
	debian.wantVersion(t, broken)
	debian.awaitKubectl(t, 4*time.Minute, "RolledBack", "get", "nodepool", "servers", "--output", `jsonpath={.status.conditions[?(@.type=="Stalled")].reason}`)
	if got := debian.mustKubectl(t, "get", "nodepool", "servers", "--output", `jsonpath={.status.conditions[?(@.type=="Stalled")].message}`); !strings.Contains(got, name) || !strings.Contains(got, "kubelet ended") {
		t.Errorf("the pool says %q, want %s and that its kubelet ended", got, name)
	}
	if got := debian.mustKubectl(t, "get", "nodeagent", name, "--output", "jsonpath={.status.phase} {.status.failedRevision.component}"); got != "RolledBack kubelet" {
		t.Errorf("the NodeAgent says %q", got)
	}
	debian.wantVersion(t, debian.version)
	debian.awaitVersion(t, name, debian.version)
	debian.awaitPool(t)
	stays("after the rollback")
}

// lasting is what outlives a change of the kubelet: containerd's process, and a pod's container and first process.
func (s *Server) lasting(ctx context.Context) (string, error) {
	containerd, err := s.asRoot(ctx, "pidof containerd")
	if err != nil {
		return "", err
	}
	pod, err := s.kubectl(ctx, "get", "pod", "shell", "--output", "jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}")
	if err != nil {
		return "", err
	}
	began, err := s.kubectl(ctx, "exec", "shell", "--", "cut", "-d", " ", "-f", "22", "/proc/1/stat")
	return fmt.Sprintf("containerd %s, pod %s since %s", containerd, pod, began), err
}

// renewAgent starts the agent anew, which may write as often again as one may in an hour: joining and an upgrade take much of that,
// and it would tell of the next step minutes later.
func (s *Server) renewAgent(t *testing.T) {
	t.Helper()
	s.run(t, "systemctl restart drover-agent")
}

// applyBundle applies the NodeBundle of a version, which a build left among the samples.
func (s *Server) applyBundle(t *testing.T, version string) {
	t.Helper()
	s.mustKubectl(t, "apply", "--filename", filepath.Join(s.root, ".drover", "samples", "nodebundle-"+version+".yaml"))
}

// wantVersion has the pool run a version of Kubernetes.
func (s *Server) wantVersion(t *testing.T, version string) {
	t.Helper()
	s.mustKubectl(t, "patch", "nodepool", "servers", "--type=merge", "--patch", `{"spec":{"template":{"spec":{"version":"`+version+`"}}}}`)
}

// awaitVersion waits until a node is ready with a version of the kubelet, and its agent keeps it.
func (s *Server) awaitVersion(t *testing.T, node, version string) {
	t.Helper()
	s.awaitKubectl(t, 4*time.Minute, version+" True", "get", "node", node, "--output", `jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}`)
	s.awaitKubectl(t, 2*time.Minute, "Committed", "get", "nodeagent", node, "--output", "jsonpath={.status.phase}")
}
