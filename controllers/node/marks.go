package node

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	documents "github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/consistency"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/refusal"
	"github.com/drover-dev/drover/controllers/sides"
)

// NotAppliedError is why a Node does not have its pool's labels and taints, and what to do: time alone does not mend it.
type NotAppliedError struct{ error }

func (e *NotAppliedError) Unwrap() error { return e.error }

func notAppliedf(format string, args ...any) error {
	return &NotAppliedError{fmt.Errorf(format, args...)}
}

// Marks puts pools' labels and taints onto Nodes. The zero value is ready for use.
type Marks struct {
	written consistency.Objects
}

// Target is a Node that is not [Foreign] to its Machine, as the cache has it, and the pool of the two.
type Target struct {
	Machine *clusterv1.Machine
	Pool    *v1alpha1.NodePool
	Node    *corev1.Node
}

// Result is what Put did.
type Result struct {
	// Node is the Node as it was written; nil when there was nothing to write.
	Node *corev1.Node
	// First says that the Node had no marks before: its machine has just joined.
	First bool
}

// Put brings a Node's labels and taints to what its pool says, with one write and only when something differs. What Cluster API
// would put onto a new Node goes with them. Secrets are read live from the management side, and the Node is of the workload side.
func (m *Marks) Put(ctx context.Context, management, workload sides.Side, to Target) (Result, error) {
	if m.written.IsOlder(to.Node) {
		return Result{}, nil
	}
	previous, known, err := readApplied(to.Node)
	if err != nil {
		return Result{}, err
	}
	if !known {
		if previous.Taints, err = registeredTaints(ctx, management, to.Machine); err != nil {
			return Result{}, err
		}
	}
	node := to.Node.DeepCopy()
	if err := applyTemplate(node, to.Pool, previous); err != nil {
		return Result{}, err
	}
	applyMachine(node, to.Machine)
	changed, err := patchNode(ctx, workload, to.Node, node)
	if err != nil || !changed {
		return Result{}, err
	}
	m.written.Wrote(node)
	ctrl.LoggerFrom(ctx).Info("Put the pool's labels and taints onto the Node")
	return Result{Node: node, First: !known}, nil
}

// PutNoPool marks a Node, not [Foreign] to its Machine, whose Machine no pool counts. What its pool put there stays: pods rest on
// it. Put takes the mark away.
func (m *Marks) PutNoPool(ctx context.Context, workload sides.Side, to *corev1.Node) error {
	node := to.DeepCopy()
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[v1alpha1.NoPoolLabel] = "true"
	if equality.Semantic.DeepEqual(to, node) {
		return nil
	}
	if err := workload.Patch(ctx, node, client.MergeFrom(to)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("mark Node %s as one that no NodePool counts: %w", to.Name, err)
	}
	m.written.Wrote(node)
	return nil
}

// patchNode writes what differs between two states of a Node, if anything does. The list of taints is replaced as a
// whole, so it is written only onto the very version of the Node that it was computed from.
func patchNode(ctx context.Context, c client.Client, before, after *corev1.Node) (bool, error) {
	if equality.Semantic.DeepEqual(before, after) {
		return false, nil
	}
	patch := client.MergeFrom(before)
	if !equality.Semantic.DeepEqual(before.Spec.Taints, after.Spec.Taints) {
		patch = client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	}
	err := c.Patch(ctx, after, patch)
	if refusal.ForGood(err) {
		return false, notAppliedf("put the pool's labels and taints onto Node %s: %w: change the pool's template, or what refuses it", before.Name, err)
	}
	if err != nil {
		return false, fmt.Errorf("put the pool's labels and taints onto Node %s: %w", before.Name, err)
	}
	return true, nil
}

// registeredTaints are those that the kubelet registered its Node with. The pool may have dropped some since the
// bootstrap Secret was written; they are ours to remove all the same.
func registeredTaints(ctx context.Context, management sides.Side, machine *clusterv1.Machine) ([]appliedTaint, error) {
	name := types.NamespacedName{Namespace: machine.Namespace, Name: machine.Name + v1alpha1.BootstrapSecretSuffix}
	secret, err := lookup.GetOrNil(ctx, management.Live, name, &corev1.Secret{})
	if apierrors.IsForbidden(err) {
		return nil, notAppliedf("%s", v1alpha1.SecretsForbidden(name.Namespace, err))
	}
	if err != nil || secret == nil {
		return nil, err
	}
	var bootstrap documents.Bootstrap
	if err := json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], &bootstrap); err != nil {
		return nil, notAppliedf("read the taints in bootstrap Secret %s: %w: delete the Machine to have it replaced", name, err)
	}
	return taintIDs(bootstrap.Taints), nil
}
