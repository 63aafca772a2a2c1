package planner

import (
	"slices"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// proposeRelease lets go the Machines that are being deleted and whose ordinal's reservation is over.
func proposeRelease(f *fleet) []Proposal {
	var proposals []Proposal
	for _, m := range f.leaving {
		if !slices.Contains(m.Finalizers, v1alpha1.OrdinalFinalizer) || !f.letsGo(m.Name) {
			continue
		}
		proposals = append(proposals, Proposal{Urgency: urgencyOver, Action: Action{
			Verb: Release, Cause: MachineDeletion, Name: m.Name, UID: m.UID, Reason: "its ordinal's reservation is over",
		}})
	}
	return proposals
}

// Settled says that a machine's name has no ordinal of the pool's, or one whose reservation is over.
func Settled(pool *v1alpha1.NodePool, machine *clusterv1.Machine) bool {
	return takeApart(Snapshot{Pool: pool}).letsGo(machine.Name)
}

// holdsLeaving says that a Machine being deleted is kept, for its ordinal's sake.
func (f *fleet) holdsLeaving() bool {
	return slices.ContainsFunc(f.leaving, func(m *machine) bool {
		return slices.Contains(m.Finalizers, v1alpha1.OrdinalFinalizer) && !f.letsGo(m.Name)
	})
}

func (f *fleet) letsGo(name string) bool {
	ordinal, ours := f.ordinal(name)
	return !ours || f.settled(ordinal)
}
