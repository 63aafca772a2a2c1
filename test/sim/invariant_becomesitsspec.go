package sim

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// becomesItsSpec: once all faults are over, the machines and what they run are what the pool's spec says.
var becomesItsSpec = &invariant{name: "becomes-its-spec", settles: (*world).isItsSpec}

// isItsSpec compares the fleet with the pool's spec.
func (w *world) isItsSpec() error {
	pool := w.pool()
	if pool == nil || !pool.DeletionTimestamp.IsZero() {
		return fmt.Errorf("the pool is not there anew: %s", w.describe(pools, poolName))
	}
	if there, all, want := len(w.machines()), len(w.api.tables[machines]), int(ptr.Deref(pool.Spec.Replicas, 1)); there != want || all != want {
		return fmt.Errorf("the pool asks for %d machines; there are %d, and %d that are being deleted", want, there, all-there)
	}
	for _, m := range w.machines() {
		if err := w.runsItsSpec(pool, m.Name); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) runsItsSpec(pool *v1alpha1.NodePool, name string) error {
	machine, agent := w.machine(name), w.agent(name)
	if node := w.node(name); node == nil || node.Spec.Unschedulable {
		return fmt.Errorf("Node %s: %s", name, w.describe(nodes, name)) //nolint:staticcheck // a kind's name
	}
	if !available(machine) || agent == nil {
		return fmt.Errorf("Machine %s is not available: %s", name, w.describe(agents, name)) //nolint:staticcheck // a kind's name
	}
	if agent.Spec.Revision != pool.Status.Revision || w.elsewhere(machine.Labels[v1alpha1.RevisionLabel], pool.Status.Revision) {
		return fmt.Errorf("%s does not run the pool's template: %s", name, w.describe(agents, name))
	}
	if !hasItsAgent(agent) {
		return fmt.Errorf("%s has yet to change to agent %s", name, agent.Spec.Agent.Version)
	}
	return nil
}

// elsewhere says that machines of two revisions are made from other infrastructure, so that none becomes one of the other.
func (w *world) elsewhere(a, b string) bool {
	infrastructure := func(name string) string {
		if stored := of[*appsv1.ControllerRevision](w.api, revisions, v1alpha1.RevisionName(poolName, name)); stored != nil {
			return stored.Annotations[v1alpha1.InfrastructureAnnotation]
		}
		return ""
	}
	return infrastructure(a) != infrastructure(b)
}
