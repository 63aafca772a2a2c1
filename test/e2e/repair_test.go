package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// silentFor is how long machines of the test have to be silent to be replaced, the least that there is. replacedWithin is within what
// that is done: it takes most of a minute until Kubernetes says that a node is silent.
const (
	silentFor      = time.Minute
	replacedWithin = 6 * time.Minute
)

// testASilentNodeIsReplacedAndAPoolOfThemIsNot ends what speaks for a node, on one of three nodes and on both of another pool.
func testASilentNodeIsReplacedAndAPoolOfThemIsNot(t *testing.T) {
	repaired := func(pool *fleetv1.NodePool) {
		pool.Spec.Repair.Ladder = []fleetv1.RepairRung{fleetv1.RepairReplace}
		pool.Spec.Repair.Timeouts.ReplaceSeconds = ptr.To(int32(silentFor.Seconds()))
	}
	some, all := world.newPool(t, "e2e-silent", 3, repaired), world.newPool(t, "e2e-all-silent", 2, repaired)
	world.awaitPool(t, some.Name, 3)
	world.awaitPool(t, all.Name, 2)
	for _, pool := range []*fleetv1.NodePool{some, all} {
		for _, m := range must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)) {
			awaitPhase(t, m.Name, fleetv1.PhaseCommitted, "") // one on which nothing has worked yet has as long as one that has yet to join
		}
	}
	before := machineUIDs(t, some)
	lost := must[[]clusterv1.Machine](t)(world.machines(t.Context(), some.Name))[1]
	silence(t, lost.Name)
	kept := machineUIDs(t, all)
	var speak []func()
	for _, m := range must[[]clusterv1.Machine](t)(world.machines(t.Context(), all.Name)) {
		speak = append(speak, silence(t, m.Name))
	}

	eventually(t, replacedWithin, "the pool of silent nodes repairs none", func(ctx context.Context) error {
		if err := world.Get(ctx, client.ObjectKeyFromObject(all), all); err != nil {
			return err
		}
		return unless(isTrue(all.Status.Conditions, fleetv1.RepairFrozenCondition), "conditions are %s", describe(all.Status.Conditions))
	})
	eventually(t, replacedWithin, lost.Name+" is replaced", func(ctx context.Context) error {
		machines, err := world.machines(ctx, some.Name)
		if err != nil {
			return err
		}
		for _, m := range machines {
			if m.UID == lost.UID {
				return errors.New("it is still there")
			}
			if !m.DeletionTimestamp.IsZero() {
				t.Errorf("%s is deleted, too", m.Name)
			}
		}
		return unless(len(machines) == 3, "there are %d machines", len(machines))
	})
	world.awaitPool(t, some.Name, 3)
	if after := machineUIDs(t, some); len(both(before, after)) != 2 {
		t.Errorf("the machines were %v and are %v: want one other", before, after)
	}

	if got := machineUIDs(t, all); !slices.Equal(kept, got) {
		t.Errorf("the machines of the pool of silent nodes were %v and are %v", kept, got)
	}
	for _, again := range speak {
		again()
	}
	eventually(t, nodesDeadline, "they are well, and nothing is frozen", func(ctx context.Context) error {
		if err := world.Get(ctx, client.ObjectKeyFromObject(all), all); err != nil {
			return err
		}
		return unless(ptr.Deref(all.Status.ReadyReplicas, 0) == 2 && !isTrue(all.Status.Conditions, fleetv1.RepairFrozenCondition), "conditions are %s", describe(all.Status.Conditions))
	})
	if got := machineUIDs(t, all); !slices.Equal(kept, got) {
		t.Errorf("the machines that speak again were %v and are %v", kept, got)
	}
}

// silence stops a machine's agent and its kubelet until the function that it returns is called, or the test ends.
func silence(t *testing.T, machine string) (speak func()) {
	t.Helper()
	kubelet := must[*fleetv1.ComponentStatus](t)(world.component(t.Context(), machine, fleetv1.ComponentKubelet))
	// The agent first, which would start a kubelet that does not answer anew.
	pids := []int{must[int](t)(world.agentPID(t, machine)), world.hostPID(t, machine, ptr.Deref(kubelet.PID, 0))}
	send := func(signal syscall.Signal) (err error) {
		for _, pid := range pids {
			if e := syscall.Kill(pid, signal); e != nil && !errors.Is(e, syscall.ESRCH) {
				err = errors.Join(err, fmt.Errorf("%s to process %d: %w", signal, pid, e))
			}
		}
		return err
	}
	if err := send(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	speak = func() {
		if err := send(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(speak)
	return speak
}

func machineUIDs(t *testing.T, pool *fleetv1.NodePool) (uids []types.UID) {
	t.Helper()
	for _, m := range must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)) {
		uids = append(uids, m.UID)
	}
	slices.Sort(uids)
	return uids
}

func both(a, b []types.UID) (common []types.UID) {
	for _, one := range a {
		if slices.Contains(b, one) {
			common = append(common, one)
		}
	}
	return common
}
