package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// nodeAgents are all that a membership finds when it asks, and there is no Node.
type nodeAgents []v1alpha1.NodeAgent

func (n nodeAgents) ListNodeAgents(context.Context, string) ([]v1alpha1.NodeAgent, error) {
	return n, nil
}
func (n nodeAgents) HasNode(context.Context, string) (bool, error) { return false, nil }

func nodeAgent(machine string) v1alpha1.NodeAgent {
	return v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{v1alpha1.MachineUIDLabel: machine}}}
}

func TestAReleasedMachineStopsItsKubeletAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()}
	if err := os.MkdirAll(opts.RunDir, 0o755); err != nil {
		t.Fatal(err)
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	rebuilds := 0
	a.rebuild, a.restarted = func() { rebuilds++ }, true
	a.boot.End()
	processes := []supervise.Process{{Name: v1alpha1.ComponentContainerd}, {Name: v1alpha1.ComponentKubelet}, {Name: v1alpha1.ComponentKubeProxy}}
	names := func() string {
		var names []string
		for _, p := range a.startable(processes) {
			names = append(names, p.Name)
		}
		return strings.Join(names, " ")
	}
	if got := names(); got != "containerd kubelet kube-proxy" {
		t.Fatalf("a node starts %s", got)
	}
	a.members.MissNode()
	a.members.Decide(t.Context(), nodeAgents{})
	if got := names(); got != "containerd kube-proxy" {
		t.Errorf("a machine that nobody wants starts %s", got)
	}
	if rebuilds != 1 {
		t.Errorf("nothing has the kubelet stopped, or too much: %d", rebuilds)
	}
	if got := bootReport(t, opts.RunDir); got.Phase != bootreport.PhaseRegister || got.Reason != v1alpha1.ReasonNodeNotWanted || !strings.Contains(got.Message, "there is no NodeAgent node-1 any more") {
		t.Errorf("the boot report is %+v", got)
	}
	a.members.Decide(t.Context(), nodeAgents{nodeAgent("m")})
	if got := names(); got != "containerd kubelet kube-proxy" {
		t.Errorf("a node that is wanted again starts %s", got)
	}
	if _, err := os.Stat(bootreport.Path(opts.RunDir)); err == nil {
		t.Error("the boot report is still there")
	}
}

// A kubelet that boots without the API server registers nothing until that has answered, also under the next agent.
func TestAKubeletThatNobodyCouldBeAskedAboutRegistersNoNode(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()}
	record := fmt.Sprintf(`{"name": "kubelet", "pid": %d, "argv": ["kubelet", "--register-node=false"], "running": true}`, os.Getpid())
	if err := os.MkdirAll(filepath.Join(opts.RunDir, "processes"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(opts.RunDir, "processes", "kubelet.json"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	rebuilds := 0
	a.rebuild, a.restarted = func() { rebuilds++ }, true
	processes := []supervise.Process{{Name: v1alpha1.ComponentKubelet, Args: []string{"--config=x"}}}
	if diff := cmp.Diff([]string{"--config=x", "--register-node=false"}, a.startable(processes)[0].Args); diff != "" {
		t.Errorf("the kubelet's arguments (-want +got):\n%s", diff)
	}
	a.members.Decide(t.Context(), nodeAgents{nodeAgent("m")})
	if diff := cmp.Diff([]string{"--config=x"}, a.startable(processes)[0].Args); diff != "" || rebuilds != 1 {
		t.Errorf("after the answer (-want +got), told %d times:\n%s", rebuilds, diff)
	}
}
