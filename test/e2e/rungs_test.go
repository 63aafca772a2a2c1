package e2e

import (
	"context"
	"maps"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// treatedWithin is within what time a rung of the test is taken, and the node well after it. The kubelet waits for containerd, and is silent
// after 40 seconds: an agent with nothing new to say is heard of again a minute and a half later.
const treatedWithin = 6 * time.Minute

// testAMachineIsRebootedWhereARestartDoesNotHelp has nothing of the agent's own bring containerd back, nor a restart that the manager
// asks for, but a boot, which it asks for next. It stays the same machine, whose pods run again.
func testAMachineIsRebootedWhereARestartDoesNotHelp(t *testing.T) {
	p := newPatient(t, "e2e-rungs")
	world.edit(t, p.pool, func(pool *fleetv1.NodePool) { pool.Spec.Replicas = ptr.To[int32](2) }) // of one alone it may be the network
	world.awaitPool(t, p.pool, 2)
	before, init := must[[]clusterv1.Machine](t)(world.machines(t.Context(), p.pool)), world.initOf(t, p.node)
	world.edit(t, p.pool, func(pool *fleetv1.NodePool) {
		pool.Spec.Repair = fleetv1.NodePoolRepair{
			Ladder:   []fleetv1.RepairRung{fleetv1.RepairRestartComponent, fleetv1.RepairReboot},
			Timeouts: fleetv1.RepairTimeouts{RestartComponentSeconds: ptr.To[int32](30), RebootSeconds: ptr.To[int32](120)},
		}
	})
	p.inside(t, "mount", "-t", "tmpfs", "-o", "ro", "drover-test", "/var/lib/containerd") // which only a boot undoes
	kill(t, p.process(t, fleetv1.ComponentContainerd))

	eventually(t, treatedWithin, "containerd is restarted, as the manager asks", p.treated(fleetv1.RepairRestartComponent))
	if agent := world.agent(t, p.node); isTrue(agent.Status.Conditions, fleetv1.RuntimeHealthyCondition) {
		t.Errorf("that has helped, for which there is no reason: %s", describe(agent.Status.Conditions))
	}
	eventually(t, treatedWithin, "the machine is rebooted", p.treated(fleetv1.RepairReboot))
	eventually(t, treatedWithin, "the node is well", p.well)
	if now := world.initOf(t, p.node); now == init {
		t.Errorf("the machine's init still is process %d", now)
	}
	if now := must[[]clusterv1.Machine](t)(world.machines(t.Context(), p.pool)); !maps.Equal(uids(now), uids(before)) {
		t.Errorf("the machines were %v and are %v", uids(before), uids(now))
	}
	eventually(t, podsDeadline, "its pod answers", func(ctx context.Context) error { return get(ctx, p.url) })
	eventually(t, nodesDeadline, "no repair is under way", func(ctx context.Context) error {
		pool := &fleetv1.NodePool{}
		if err := world.Get(ctx, client.ObjectKey{Namespace: "default", Name: p.pool}, pool); err != nil {
			return err
		}
		rests := pool.Status.Repair != nil && pool.Status.Repair.Current == nil && ptr.Deref(pool.Status.Repair.Unhealthy, 1) == 0
		return unless(rests && isTrue(pool.Status.Conditions, fleetv1.ReadyCondition), "it is %+v, and says %s", pool.Status.Repair, describe(pool.Status.Conditions))
	})
}

// treated says what keeps a rung from having been done on the machine.
func (p *patient) treated(rung fleetv1.RepairRung) func(context.Context) error {
	return func(ctx context.Context) error {
		agent := &fleetv1.NodeAgent{}
		if err := world.Get(ctx, client.ObjectKey{Name: p.node}, agent); err != nil {
			return err
		}
		is := agent.Status.Repair
		done := is != nil && is.Rung == rung && is.State == fleetv1.RepairDone
		return unless(done, "it was asked for %+v and answers %+v; conditions are %s", agent.Spec.Repair, is, describe(agent.Status.Conditions))
	}
}
