package planner

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newPool is a pool that wants that many machines and has used the ordinals below next.
func newPool(replicas int32, next int64, edits ...func(*v1alpha1.NodePool)) *v1alpha1.NodePool {
	pool := &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers", UID: "pool", Generation: 3, CreationTimestamp: metav1.NewTime(epoch)},
		Spec:       v1alpha1.NodePoolSpec{Replicas: &replicas},
	}
	pool.Status.NextOrdinal = &next
	for _, edit := range edits {
		edit(pool)
	}
	return pool
}

func isPaused(p *v1alpha1.NodePool) { yes := true; p.Spec.Paused = &yes }

func isDeleting(p *v1alpha1.NodePool) {
	now := metav1.NewTime(epoch)
	p.DeletionTimestamp = &now
	p.Finalizers = []string{v1alpha1.NodePoolFinalizer}
}

func hasReserved(first int64, count int32, revision string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Status.Reserved = &v1alpha1.OrdinalRange{First: &first, Count: count, Revision: revision}
	}
}

func hasRecord(next string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Annotations = map[string]string{v1alpha1.NextOrdinalAnnotation: next}
	}
}

// hasGone says that the machines of these ordinals are known to be gone.
func hasGone(ordinals ...int64) func(*Snapshot) {
	return func(s *Snapshot) {
		for _, ordinal := range ordinals {
			s.Gone = append(s.Gone, v1alpha1.MachineName(s.Pool, ordinal))
		}
	}
}

// newMachine is a ready and available machine of revision r1, made ordinal minutes after the epoch.
func newMachine(ordinal int64, edits ...func(*clusterv1.Machine)) *clusterv1.Machine {
	name := v1alpha1.MachineName(newPool(0, 0), ordinal)
	m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, UID: types.UID("uid-" + name),
		CreationTimestamp: metav1.NewTime(epoch.Add(time.Duration(ordinal) * time.Minute)),
		Labels:            map[string]string{v1alpha1.RevisionLabel: "r1"},
		Finalizers:        []string{clusterv1.MachineFinalizer, v1alpha1.OrdinalFinalizer},
	}}
	withCondition(clusterv1.MachineReadyCondition, metav1.ConditionTrue, "")(m)
	withCondition(clusterv1.MachineAvailableCondition, metav1.ConditionTrue, "")(m)
	for _, edit := range edits {
		edit(m)
	}
	return m
}

func withCondition(conditionType string, status metav1.ConditionStatus, message string, reason ...string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		c := metav1.Condition{Type: conditionType, Status: status, Reason: "Test", Message: message}
		if len(reason) > 0 {
			c.Reason = reason[0]
		}
		for i := range m.Status.Conditions {
			if m.Status.Conditions[i].Type == conditionType {
				m.Status.Conditions[i] = c
				return
			}
		}
		m.Status.Conditions = append(m.Status.Conditions, c)
	}
}

func unready(m *clusterv1.Machine) {
	withCondition(clusterv1.MachineReadyCondition, metav1.ConditionFalse, "")(m)
	withCondition(clusterv1.MachineAvailableCondition, metav1.ConditionFalse, "")(m)
}

func outdated(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = "r0" }

func deleteFirst(m *clusterv1.Machine) {
	m.Annotations = map[string]string{v1alpha1.DeleteFirstAnnotation: ""}
}

func leaving(m *clusterv1.Machine) { now := metav1.NewTime(epoch); m.DeletionTimestamp = &now }

func bornAtEpoch(m *clusterv1.Machine) { m.CreationTimestamp = metav1.NewTime(epoch) }

// snapshot is of that pool with its machines, at revision r1, read live.
func snapshot(pool *v1alpha1.NodePool, machines ...*clusterv1.Machine) Snapshot {
	return Snapshot{Now: epoch.Add(time.Hour), Pool: pool, Machines: machines, Revision: "r1", Live: true}
}

// ordinals are those of the actions with a verb, by their names.
func ordinals(result Result, verb Verb) []int64 {
	f := newFleet(Snapshot{Pool: newPool(0, 0)})
	list := []int64{}
	for _, a := range result.Of(verb) {
		ordinal, ok := f.ordinal(a.Name)
		if !ok {
			ordinal = -1
		}
		list = append(list, ordinal)
	}
	return list
}
