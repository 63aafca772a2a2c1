package planner

import (
	"cmp"
	"fmt"
	"slices"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// proposeScaleDown deletes the machines that the pool has too many of; all, when the pool is being deleted.
func proposeScaleDown(f *fleet) []Action {
	surplus := len(f.active) - f.want()
	if surplus <= 0 {
		return nil
	}
	actions := make([]Action, 0, surplus)
	for _, v := range victims(f)[:surplus] {
		actions = append(actions, Action{Verb: Delete, Name: v.machine.Name, UID: v.machine.UID, Reason: f.whyDeleted(v)})
	}
	return actions
}

func (f *fleet) whyDeleted(v victim) string {
	if f.deleting() {
		return "the pool is being deleted"
	}
	return fmt.Sprintf("the pool was scaled down to %d, and it is %s", f.want(), v.why())
}

// victim is a machine with what decides when it has to go.
type victim struct {
	machine     *clusterv1.Machine
	deleteFirst bool
	unready     bool
	outdated    bool
	ordinal     int64
}

// victims are the active machines, the first to go first: those annotated to be, those that are not ready, those made
// from an older template, the newest.
func victims(f *fleet) []victim {
	list := make([]victim, 0, len(f.active))
	for _, m := range f.active {
		_, deleteFirst := m.Annotations[v1alpha1.DeleteFirstAnnotation]
		ordinal, _ := f.ordinal(m)
		list = append(list, victim{machine: m, deleteFirst: deleteFirst, unready: !isReady(m), outdated: f.outdated(m), ordinal: ordinal})
	}
	slices.SortFunc(list, func(a, b victim) int {
		return cmp.Or(
			compareTrueFirst(a.deleteFirst, b.deleteFirst),
			compareTrueFirst(a.unready, b.unready),
			compareTrueFirst(a.outdated, b.outdated),
			b.machine.CreationTimestamp.Compare(a.machine.CreationTimestamp.Time),
			cmp.Compare(b.ordinal, a.ordinal),
			cmp.Compare(a.machine.Name, b.machine.Name),
		)
	})
	return list
}

func (v victim) why() string {
	switch {
	case v.deleteFirst:
		return "annotated " + v1alpha1.DeleteFirstAnnotation
	case v.unready:
		return "not ready"
	case v.outdated:
		return "made from an older template"
	default:
		return "the newest"
	}
}

func compareTrueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}
