package planner

import (
	"slices"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// proposeRelease lets go the Machines that are being deleted and whose ordinal's reservation is over.
func proposeRelease(f *fleet) []Action {
	var actions []Action
	for _, m := range f.leaving {
		if !slices.Contains(m.Finalizers, v1alpha1.OrdinalFinalizer) {
			continue
		}
		if ordinal, ours := f.ordinal(m); ours && !f.settled(ordinal) {
			continue
		}
		actions = append(actions, Action{Verb: Release, Name: m.Name, UID: m.UID, Reason: "its ordinal's reservation is over"})
	}
	return actions
}
