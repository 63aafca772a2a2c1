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
func proposeScaleDown(f *fleet) []Proposal {
	surplus := f.replacement.surplus
	cause := ScaleDown
	if f.deleting() {
		cause = PoolDeletion
	}
	proposals := make([]Proposal, 0, len(surplus))
	reasons := map[claim]string{}
	for _, v := range surplus {
		if reasons[v.claim] == "" {
			reasons[v.claim] = f.whyDeleted(v.claim)
		}
		proposals = append(proposals, Proposal{Urgency: urgencySurplus, Disrupts: true, Action: Action{
			Verb: Delete, Cause: cause, Name: v.Name, UID: v.UID, Reason: reasons[v.claim],
		}})
	}
	return proposals
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
	claimDeleteFirst claim = 1 << iota
	claimDeleteMachine
	claimUnready
	claimOutdated
	// claimSpared is none, but the opposite: somebody asks to leave the machine alone.
	claimSpared

	// claimAnnotated is either annotation, ours or Cluster API's. One is worth as much as the other, and as both.
	claimAnnotated = claimDeleteFirst | claimDeleteMachine
)

// order is lower for what goes first: an annotation is worth more than unreadiness, and that more than age of the template. What
// somebody wants left alone goes last, whatever else is said of it.
func (c claim) order() int {
	order := 0
	if c&claimSpared != 0 {
		order = 1
	}
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
	case c&claimDeleteFirst != 0:
		return "annotated " + v1alpha1.DeleteFirstAnnotation
	case c&claimDeleteMachine != 0:
		return "annotated " + clusterv1.DeleteMachineAnnotation
	case c&claimUnready != 0:
		return "not ready"
	case c&claimOutdated != 0:
		return "of an older template"
	default:
		return "the newest"
	}
}

// victim is a machine with what decides when it has to go.
type victim struct {
	*machine
	claim claim
	order int
}

// victims are the active machines, the first to go first: those annotated to be, those that are not ready, those of
// an older template, the newest.
func victims(f *fleet) []victim {
	list := make([]victim, 0, len(f.active))
	for _, m := range f.active {
		c := f.claim(m)
		list = append(list, victim{machine: m, claim: c, order: c.order()})
	}
	slices.SortFunc(list, func(a, b victim) int {
		if c := cmp.Or(cmp.Compare(a.order, b.order), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.ordinal, a.ordinal)); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// firstToGo is by which annotations somebody wants the machine to be among the first that go; zero for none.
func (m *machine) firstToGo() (c claim) {
	if _, annotated := m.Annotations[v1alpha1.DeleteFirstAnnotation]; annotated {
		c |= claimDeleteFirst
	}
	if _, annotated := m.Annotations[clusterv1.DeleteMachineAnnotation]; annotated {
		c |= claimDeleteMachine
	}
	return c
}

func (f *fleet) claim(m *machine) claim {
	c := m.firstToGo()
	if !m.well() { // One that is Ready, and about to be Available, is not there for anybody yet.
		c |= claimUnready
	}
	if m.spared() {
		c |= claimSpared
	}
	if f.rollout.outdated(m) {
		c |= claimOutdated
	}
	return c
}
