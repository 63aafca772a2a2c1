package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// A pool that a manager of the previous commit made is as it was under the present one, which makes a machine beside it meanwhile.
func TestAnUpgradedManagerChangesNoNode(t *testing.T) {
	program := filepath.Join(world.Root, ".drover", "bin", "drover-manager")
	previous, aside := buildPrevious(t, program), program+".aside"
	replace := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	kill(t, world.managerPID(t))
	replace(program, aside)
	restored := false
	restore := func() {
		if restored {
			return
		}
		restored = true
		kill(t, world.managerPID(t))
		replace(aside, program)
		world.startManager(t)
	}
	t.Cleanup(restore)
	replace(previous, program)
	world.startManager(t)

	pool := world.newPool(t, "e2e-upgraded", 2)
	world.awaitPool(t, pool.Name, 2)
	told := map[string]nodeState{}
	for _, name := range []string{pool.Name, "workers"} {
		for node, state := range stateOf(t, name) {
			awaitPhase(t, node, fleetv1.PhaseCommitted, "")
			told[node] = state
		}
	}

	restore()
	world.scale(t, pool.Name, 3)
	world.awaitPool(t, pool.Name, 3)
	now := map[string]nodeState{}
	for _, name := range []string{pool.Name, "workers"} {
		for node, state := range stateOf(t, name) {
			if _, was := told[node]; was {
				now[node] = state
			}
		}
	}
	if diff := cmp.Diff(told, now); diff != "" {
		t.Errorf("what nodes were told, and run (-the previous manager's +the present one's):\n%s", diff)
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil || len(pool.Status.Updating) > 0 {
		t.Errorf("%v are being changed: %v", pool.Status.Updating, err)
	}
}

// nodeState is what an upgrade of the manager must leave alone.
type nodeState struct {
	Machine    types.UID
	Spec       fleetv1.NodeAgentSpec
	Generation int64
	Processes  map[string]int32
}

// stateOf is that of a pool's nodes, by their names.
func stateOf(t *testing.T, pool string) map[string]nodeState {
	t.Helper()
	machines, err := world.machines(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]nodeState{}
	for _, m := range machines {
		agent := world.agent(t, m.Name)
		all[m.Name] = nodeState{Machine: m.UID, Spec: agent.Spec, Generation: agent.Generation, Processes: pids(t, m.Name)}
	}
	return all
}

// buildPrevious builds the manager of the commit before this one, beside the present one. A checkout that has no history has the
// present source built, as another version.
func buildPrevious(t *testing.T, program string) (previous string) {
	t.Helper()
	source, previous := t.TempDir(), program+".previous"
	t.Cleanup(func() { _ = os.Remove(previous) })
	commit := os.Getenv("DROVER_PREVIOUS")
	if commit == "" {
		commit = "HEAD~1"
	}
	ctx, cancel := context.WithTimeout(t.Context(), nodesDeadline)
	defer cancel()
	extract := exec.CommandContext(ctx, "sh", "-ec", `git archive --output="$2/source.tar" "$1" && tar --extract --directory="$2" --file="$2/source.tar"`, "sh", commit, source)
	extract.Dir = world.Root
	if out, err := extract.CombinedOutput(); err != nil {
		if os.Getenv("DROVER_PREVIOUS") != "" {
			t.Fatalf("the source of %s: %v: %s", commit, err, out)
		}
		t.Logf("%s is not to be had, the present source is taken: %s", commit, out)
		source = world.Root
	}
	const version = "github.com/drover-dev/drover/cmd/manager/app.version=previous"
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X "+version, "-o", previous, "./cmd/manager")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the manager of %s: %v: %s", commit, err, out)
	}
	return previous
}
