package planner

import (
	"slices"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// proposeRelease lets go the Machines that are being deleted and whose ordinal's reservation is over.
func proposeRelease(f *fleet) []Action {
	var actions []Action
	for _, m := range f.leaving {
		if !slices.Contains(m.Finalizers, v1alpha1.OrdinalFinalizer) {
			continue
		}
		if !f.letsGo(m) {
			continue
		}
		actions = append(actions, Action{Verb: Release, Name: m.Name, UID: m.UID, Reason: "its ordinal's reservation is over"})
	}
	return actions
}

// Settled says that a machine's name has no ordinal of the pool's, or one whose reservation is over.
func Settled(pool *v1alpha1.NodePool, machine *clusterv1.Machine) bool {
	return newFleet(Snapshot{Pool: pool}).letsGo(machine)
}

func (f *fleet) letsGo(m *clusterv1.Machine) bool {
	ordinal, ours := f.ordinal(m.Name)
	return !ours || f.settled(ordinal)
}
