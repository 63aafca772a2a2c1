package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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
	reasons := map[claim]string{}
	for _, v := range victims(f)[:surplus] {
		if reasons[v.claim] == "" {
			reasons[v.claim] = f.whyDeleted(v.claim)
		}
		actions = append(actions, Action{Verb: Delete, Name: v.machine.Name, UID: v.machine.UID, Reason: reasons[v.claim]})
	}
	return actions
}

func (f *fleet) whyDeleted(c claim) string {
	if f.deleting() {
		return "the pool is being deleted"
	}
	return fmt.Sprintf("the pool was scaled down to %d, and it is %s", f.want(), c)
}

// claim is what makes a machine go before others, as bits.
type claim int

const (
	claimAnnotated claim = 1 << iota
	claimUnready
	claimOutdated
)

// order is lower for what goes first: an annotation is worth more than unreadiness, and that more than age of the template.
func (c claim) order() int {
	order := 0
	for _, one := range []claim{claimAnnotated, claimUnready, claimOutdated} {
		order *= 2
		if c&one == 0 {
			order++
		}
	}
	return order
}

func (c claim) String() string {
	switch {
	case c&claimAnnotated != 0:
		return "annotated " + v1alpha1.DeleteFirstAnnotation
	case c&claimUnready != 0:
		return "not ready"
	case c&claimOutdated != 0:
		return "made from an older template"
	default:
		return "the newest"
	}
}

// victim is a machine with what decides when it has to go.
type victim struct {
	machine *clusterv1.Machine
	claim   claim
	order   int
	created int64
	ordinal int64
}

// victims are the active machines, the first to go first: those annotated to be, those that are not ready, those made
// from an older template, the newest.
func victims(f *fleet) []victim {
	list := make([]victim, 0, len(f.active))
	for _, m := range f.active {
		c := f.claim(m)
		ordinal, _ := f.ordinal(m.Name)
		list = append(list, victim{machine: m, claim: c, order: c.order(), created: m.CreationTimestamp.UnixNano(), ordinal: ordinal})
	}
	slices.SortFunc(list, func(a, b victim) int {
		if c := cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(b.created, a.created), cmp.Compare(b.ordinal, a.ordinal)); c != 0 {
			return c
		}
		return strings.Compare(a.machine.Name, b.machine.Name)
	})
	return list
}

func (f *fleet) claim(m *clusterv1.Machine) claim {
	var c claim
	if _, annotated := m.Annotations[v1alpha1.DeleteFirstAnnotation]; annotated {
		c |= claimAnnotated
	}
	if !isReady(m) {
		c |= claimUnready
	}
	if f.outdated(m) {
		c |= claimOutdated
	}
	return c
}
