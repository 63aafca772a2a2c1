package nodeagent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/lookup"
	nodes "github.com/drover-dev/drover/controllers/node"
)

// disown says of a machine that was made for a pool and that none counts any more that it is nobody's: on its Machine, on its
// Node, and in an event. It runs on. A Machine that never was a pool's is left alone.
func (r *Reconciler) disown(ctx context.Context, machine *clusterv1.Machine) error {
	if !machine.DeletionTimestamp.IsZero() {
		return nil
	}
	name := types.NamespacedName{Name: machine.Name}
	agent, err := lookup.GetOrNil(ctx, r.Workload, name, &v1alpha1.NodeAgent{})
	if err != nil {
		return err
	}
	node, err := lookup.GetOrNil(ctx, r.Workload, name, &corev1.Node{})
	if err != nil || !wasMade(machine, agent, node) {
		return err
	}
	if node != nil && nodes.Foreign(machine, node) == "" {
		if err := r.marks.PutNoPool(ctx, r.Workload, node); err != nil {
			return err
		}
	}
	pool, err := r.formerPool(ctx, agent)
	if err != nil {
		return err
	}
	return r.tellNobodys(ctx, machine, pool)
}

// wasMade says that a Machine was made for a pool. Its NodeAgent, which nobody but the manager makes, has its UID; where somebody
// deleted that, there is the Node that the pool's marks are on.
func wasMade(machine *clusterv1.Machine, agent *v1alpha1.NodeAgent, node *corev1.Node) bool {
	if agent != nil {
		return agent.Labels[v1alpha1.MachineUIDLabel] == string(machine.UID)
	}
	return node != nil && fence.IsMarked(node) && v1alpha1.IsMachineName(machine.Name) && nodes.Foreign(machine, node) == ""
}

// formerPool reads the pool that a NodeAgent was made for, or nil.
func (r *Reconciler) formerPool(ctx context.Context, agent *v1alpha1.NodeAgent) (*v1alpha1.NodePool, error) {
	if agent == nil {
		return nil, nil
	}
	name := types.NamespacedName{Namespace: agent.Labels[v1alpha1.PoolNamespaceLabel], Name: agent.Labels[v1alpha1.PoolLabel]}
	pool, err := lookup.GetOrNil(ctx, r.Management, name, &v1alpha1.NodePool{})
	if err != nil || pool == nil || string(pool.UID) != agent.Labels[v1alpha1.PoolUIDLabel] {
		return nil, err
	}
	return pool, nil
}

// tellNobodys writes the Machine's condition, and takes away whether it is up to date, which is nobody's to ask for; and it raises an event
// on the pool it was made for, on the Machine without one, when that is news.
func (r *Reconciler) tellNobodys(ctx context.Context, machine *clusterv1.Machine, pool *v1alpha1.NodePool) error {
	message := "no NodePool counts this Machine, and the one that it was made for is gone: its Node runs on. Delete the Machine"
	if pool != nil {
		message = fmt.Sprintf("NodePool %s/%s does not count this Machine any more: its labels and its owner reference were taken away, and its Node runs on. Delete the Machine, or give it back: kubectl --namespace %s label machine %s %s=%s",
			pool.Namespace, pool.Name, machine.Namespace, machine.Name, v1alpha1.PoolUIDLabel, pool.UID)
	}
	o := &observed{machine: machine, now: r.Clock.Now()}
	next := o.finish(v1alpha1.MachineAgentHealthyCondition, o.previous(), condition(metav1.ConditionFalse, v1alpha1.ReasonNoPool, message))
	if same(o.previous(), next) || r.written.IsOlder(machine) {
		return nil
	}
	written, err := applyConditions(ctx, r.Management, machine, next)
	if err != nil {
		return err
	}
	r.written.Wrote(written)
	ctrl.LoggerFrom(ctx).Info("Found a Machine that no NodePool counts")
	note := v1alpha1.BoundMessage(fmt.Sprintf("Machine %s: %s", machine.Name, next.Message))
	var about, related client.Object = machine, nil
	if pool != nil {
		about, related = pool, machine
	}
	r.Recorder.Eventf(about, related, corev1.EventTypeWarning, v1alpha1.ReasonNoPool, "Disown", "%s", note)
	return nil
}
