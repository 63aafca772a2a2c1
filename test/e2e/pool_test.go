package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const (
	nodesDeadline = 3 * time.Minute
	podsDeadline  = 2 * time.Minute
)

// newPool makes a pool like the demo's, with a taint that keeps all pods off its nodes but those that tolerate it, and
// deletes it at the test's end.
func (w *World) newPool(t *testing.T, name string, replicas int32, changes ...func(*fleetv1.NodePool)) *fleetv1.NodePool {
	t.Helper()
	demo := &fleetv1.NodePool{}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "workers"}, demo); err != nil {
		t.Fatal(err)
	}
	pool := &fleetv1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: *demo.Spec.DeepCopy()}
	pool.Spec.Replicas = ptr.To(replicas)
	pool.Spec.Template.Spec.Taints = []fleetv1.Taint{{Key: "e2e", Value: fleetv1.LabelValue(name), Effect: corev1.TaintEffectNoSchedule}}
	for _, change := range changes {
		change(pool)
	}
	if err := w.Create(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.deletePool(t, pool) })
	return pool
}

// deletePool deletes a pool and waits until nothing of it is left.
func (w *World) deletePool(t *testing.T, pool *fleetv1.NodePool) {
	t.Helper()
	if err := w.Delete(context.WithoutCancel(t.Context()), pool); client.IgnoreNotFound(err) != nil {
		t.Errorf("delete pool %s: %v", pool.Name, err)
	}
	eventually(t, nodesDeadline, "pool "+pool.Name+" is gone", func(ctx context.Context) error {
		var p fleetv1.NodePool
		err := w.Get(ctx, client.ObjectKeyFromObject(pool), &p)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("conditions are %s", describe(p.Status.Conditions)))
	})
}

// edit changes a pool as a user does, and returns what it is then.
func (w *World) edit(t *testing.T, name string, change func(*fleetv1.NodePool)) *fleetv1.NodePool {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	pool := &fleetv1.NodePool{}
	if err := w.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, pool); err != nil {
		t.Fatal(err)
	}
	changed := pool.DeepCopy()
	change(changed)
	if err := w.Patch(ctx, changed, client.MergeFrom(pool)); err != nil {
		t.Fatal(err)
	}
	return changed
}

// nodes lists the Nodes of a pool of the default namespace that are Ready. A pool of another may have the same name.
func (w *World) nodes(ctx context.Context, pool string) ([]corev1.Node, error) {
	var all corev1.NodeList
	if err := w.List(ctx, &all, client.MatchingLabels{fleetv1.PoolLabel: pool, fleetv1.PoolNamespaceLabel: "default"}); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all.Items, func(node corev1.Node) bool { return !nodeReady(&node) }), nil
}

// node returns a Node.
func (w *World) node(ctx context.Context, name string) (*corev1.Node, error) {
	node := &corev1.Node{}
	return node, w.Get(ctx, client.ObjectKey{Name: name}, node)
}

// machines lists the Machines of a pool.
func (w *World) machines(ctx context.Context, pool string) ([]clusterv1.Machine, error) {
	var all clusterv1.MachineList
	err := w.List(ctx, &all, client.InNamespace("default"), client.MatchingLabels{fleetv1.PoolLabel: pool})
	return all.Items, err
}

// awaitPool waits until a pool has exactly so many Ready nodes and says of itself that it is done.
func (w *World) awaitPool(t *testing.T, name string, replicas int) {
	t.Helper()
	eventually(t, nodesDeadline, fmt.Sprintf("pool %s has %d ready nodes", name, replicas), func(ctx context.Context) error {
		var pool fleetv1.NodePool
		if err := w.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, &pool); err != nil {
			return err
		}
		nodes, err := w.nodes(ctx, name)
		if err != nil {
			return err
		}
		machines, err := w.machines(ctx, name)
		if err != nil {
			return err
		}
		if len(nodes) != replicas || len(machines) != replicas || !isTrue(pool.Status.Conditions, fleetv1.ReadyCondition) || pool.Status.ObservedGeneration != pool.Generation {
			return fmt.Errorf("%d ready nodes, %d machines, pool %s", len(nodes), len(machines), describe(pool.Status.Conditions))
		}
		return nil
	})
}

// awaitCondition waits until a pool has a condition that is True with the reason, and returns its message.
func (w *World) awaitCondition(t *testing.T, pool, condition, reason string) (message string) {
	t.Helper()
	eventually(t, nodesDeadline, fmt.Sprintf("pool %s is %s because of %s", pool, condition, reason), func(ctx context.Context) error {
		var p fleetv1.NodePool
		if err := w.Get(ctx, client.ObjectKey{Namespace: "default", Name: pool}, &p); err != nil {
			return err
		}
		for _, c := range p.Status.Conditions {
			if c.Type == condition && c.Status == metav1.ConditionTrue && c.Reason == reason {
				message = c.Message
				return nil
			}
		}
		return fmt.Errorf("conditions are %s", describe(p.Status.Conditions))
	})
	return message
}

func isTrue(conditions []metav1.Condition, name string) bool {
	return slices.ContainsFunc(conditions, func(c metav1.Condition) bool { return c.Type == name && c.Status == metav1.ConditionTrue })
}

func describe(conditions []metav1.Condition) string {
	var lines []string
	for _, c := range conditions {
		lines = append(lines, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(lines, "; ")
}

// names lists the names of a list's objects.
func names(list client.ObjectList) (all []string) {
	_ = meta.EachListItem(list, func(object runtime.Object) error {
		if named, ok := object.(client.Object); ok {
			all = append(all, named.GetName())
		}
		return nil
	})
	return all
}
