package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kubectl runs the kubectl that was built, as a user would, and returns what it prints.
func (w *World) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	kubectl := exec.CommandContext(t.Context(), filepath.Join(w.Root, ".drover", "bin", "kubectl"), append(args, "--kubeconfig="+filepath.Join(w.Root, ".drover", "kubeconfig"))...)
	var complaints strings.Builder
	kubectl.Stderr = &complaints
	out, err := kubectl.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, out, complaints.String())
	}
	return string(out)
}

func TestKubectlShowsPoolsByTheirShortNameAndTheirCategory(t *testing.T) {
	world.awaitPool(t, "workers", 2)
	var table []string
	eventually(t, nodesDeadline, "both machines run the pool's template", func(context.Context) error { // one that was made just now is to prove it first
		table = strings.Split(world.kubectl(t, "get", "dnp", "workers"), "\n")
		row := strings.Fields(table[1])
		return unless(len(row) == 7 && slices.Equal(row[:6], []string{"workers", "2", "2", "2", "2", "v1.37.2"}), "the row of the demo's pool is %q", table[1])
	})
	if diff := cmp.Diff([]string{"NAME", "DESIRED", "CURRENT", "READY", "UPDATED", "VERSION", "AGE"}, strings.Fields(table[0])); diff != "" {
		t.Errorf("the columns of kubectl get dnp (-want +got):\n%s", diff)
	}
	drover := strings.Fields(world.kubectl(t, "get", "drover", "--output=name"))
	node := world.aNode(t)
	for _, object := range []string{
		"nodepool.fleet.drover.dev/workers", "nodeagent.fleet.drover.dev/" + node, "localmachine.fleet.drover.dev/" + node,
		"localmachinetemplate.fleet.drover.dev/small", "adoptedcluster.fleet.drover.dev/drover", "adoptedcontrolplane.fleet.drover.dev/drover",
	} {
		if !slices.Contains(drover, object) {
			t.Errorf("kubectl get drover does not list %s: %v", object, drover)
		}
	}
	if !slices.ContainsFunc(drover, func(object string) bool { return strings.HasPrefix(object, "nodebundle.fleet.drover.dev/") }) {
		t.Errorf("kubectl get drover lists no NodeBundle: %v", drover)
	}
}

func TestKubectlSaysWhatIsDoneToAPoolAndWhy(t *testing.T) {
	world.awaitPool(t, "workers", 2)
	bin := filepath.Join(world.Root, ".drover", "bin")
	drover := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), filepath.Join(bin, "kubectl-drover"), append(args, "--kubeconfig="+filepath.Join(world.Root, ".drover", "kubeconfig"))...)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl drover %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := drover("plan", "workers"); !strings.Contains(out, "2 of 2 machines run revision") || !strings.Contains(out, "Nothing is to be done.") {
		t.Errorf("the plan of a pool that is done reads\n%s", out)
	}
	node := world.aNode(t)
	if out := drover("why", node); !strings.Contains(out, "Machine default/"+node+" of NodePool workers: runs revision") {
		t.Errorf("why %s reads\n%s", node, out)
	}
	manifest := world.kubectl(t, "get", "dnp", "workers", "--output=yaml")
	edited := filepath.Join(t.TempDir(), "edited.yaml")
	if err := os.WriteFile(edited, []byte(strings.Replace(manifest, "      version: v", "      kubelet: {maxPods: 99}\n      version: v", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out := drover("plan", "workers", "--filename="+edited)
	if strings.Count(out, "kubelet.maxPods") != 2 || !strings.Contains(out, "now") || !strings.Contains(out, "waits (OneAtATime)") {
		t.Errorf("the plan of an edit reads\n%s", out)
	}
}
