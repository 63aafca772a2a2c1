package sim

import (
	"fmt"
	"slices"
	"strconv"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// noSecondMachine: a machine is made only where there are fewer than the pool asks for, or, while some of another revision, or of age, are
// there to be replaced, fewer than that and its surge.
var noSecondMachine = &invariant{name: "no-second-machine", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.verb != makes {
			return nil
		}
		if d.by.deposed && !w.reserved(as[*clusterv1.Machine](d.after)) {
			w.excused[d.name()] = true
			return nil
		}
		number := asked.replicas
		aged := func(m *clusterv1.Machine) bool { return w.isAged(d.by, m) }
		if w.isOfAnotherRevision(as[*clusterv1.Machine](d.after)) || slices.ContainsFunc(w.world.machines(), aged) {
			number = asked.room
		}
		if there, most := len(w.world.machines()), w.most(d.by, number); there > most {
			return fmt.Errorf("Machine %s is made, so there are %d, and the pool asks for %d", d.name(), there, most) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}

// isOfAnotherRevision says that a machine is made from another revision than one that is there was made from, or is to run.
func (w *watch) isOfAnotherRevision(made *clusterv1.Machine) bool {
	revision := made.Labels[v1alpha1.RevisionLabel]
	return slices.ContainsFunc(w.world.machines(), func(m *clusterv1.Machine) bool {
		agent := w.world.agent(m.Name)
		return m.Labels[v1alpha1.RevisionLabel] != revision || agent != nil && agent.Spec.Revision != revision
	})
}

// reserved says that a machine's ordinal is, by the pool's status as it is now. A manager that lost its lease may have a request on
// its way that makes a machine which its successor has given up: the API server knows of no lock that would refuse it.
func (w *watch) reserved(m *clusterv1.Machine) bool {
	pool := w.world.pool()
	ordinal, err := strconv.ParseInt(m.Labels[v1alpha1.OrdinalLabel], 10, 64)
	if pool == nil || pool.Status.Reserved == nil || err != nil {
		return false
	}
	first := *pool.Status.Reserved.First
	return ordinal >= first && ordinal < first+int64(pool.Status.Reserved.Count)
}
