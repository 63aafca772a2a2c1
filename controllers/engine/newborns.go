package engine

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// firstStatusWithin is how long the first status of a Machine may wait for what the Machine waits for: as long as that of an
// infrastructure machine does (package infra).
const firstStatusWithin = 10 * time.Second

// newborns keeps back what Cluster API would write first about a Machine: that it waits, for its infrastructure, its Node, and its agent's
// word. Most machines of a simulated or local provider have all of these within a moment, and each of these statuses would be one
// write more, which the next one undoes. A status that has something to tell is written at once; one of a Machine that still waits when
// firstStatusWithin is over is written then. The zero value is ready for use, and keeps nothing back before it has a queue.
//
// Whatever else a reconcile writes is written: the owner of the infrastructure machine, the Machine's spec.
type newborns struct {
	mutex sync.Mutex
	// since is when each Machine was looked at first, of those that Cluster API has yet to write a status of.
	since map[types.UID]time.Time
	// again has a Machine looked at again.
	again func(reconcile.Request, time.Duration)
}

// read notes a Machine, as it is, that a reconcile begins with.
func (n *newborns) read(machine *clusterv1.Machine, now time.Time) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if machine.Status.Phase != "" || !machine.DeletionTimestamp.IsZero() {
		delete(n.since, machine.UID)
		return
	}
	if n.since == nil {
		n.since = map[types.UID]time.Time{}
	}
	if _, known := n.since[machine.UID]; !known {
		n.sweep(now)
		n.since[machine.UID] = now
	}
}

// sweep drops Machines that went before they had a status.
func (n *newborns) sweep(now time.Time) {
	for uid, since := range n.since {
		if now.Sub(since) > time.Minute {
			delete(n.since, uid)
		}
	}
}

// keeps says that the status that a reconcile made of a Machine is not to be written yet, and has it looked at again.
func (n *newborns) keeps(machine *clusterv1.Machine, now time.Time) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	since, newborn := n.since[machine.UID]
	left := firstStatusWithin - now.Sub(since)
	if !newborn || n.again == nil || left <= 0 || !waits(machine) {
		delete(n.since, machine.UID)
		return false
	}
	n.again(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(machine)}, left)
	return true
}

// waits says that a Machine lacks its Node, or its agent's word where that makes it ready.
func waits(machine *clusterv1.Machine) bool {
	if !machine.DeletionTimestamp.IsZero() {
		return false
	}
	gated := slices.ContainsFunc(machine.Spec.ReadinessGates, func(gate clusterv1.MachineReadinessGate) bool {
		return gate.ConditionType == v1alpha1.MachineAgentHealthyCondition
	})
	return !machine.Status.NodeRef.IsDefined() || gated && !conditions.Has(machine, v1alpha1.MachineAgentHealthyCondition)
}

// through makes queues by which Machines are looked at again.
func (n *newborns) through(of newQueueFunc) newQueueFunc {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
		made := of(name, limiter)
		n.mutex.Lock()
		defer n.mutex.Unlock()
		n.again = made.AddAfter
		return made
	}
}
