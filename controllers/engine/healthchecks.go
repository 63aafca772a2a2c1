package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/core/reconcilers/machinehealthcheck"
	"sigs.k8s.io/cluster-api/util"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
)

const (
	// A MachineHealthCheck looks at all its Machines each time, and each heartbeat of a Node is an event: it gets one reconcile at this
	// interval, as Cluster API's own manager gives it, after a few at once.
	checkInterval = 15 * time.Second
	checkBurst    = 4
)

// setupHealthChecks runs Cluster API's reconciler of MachineHealthChecks. It asks for Machines to be remediated; whether and when one is,
// is for the planner of its pool to say.
func setupHealthChecks(ctx context.Context, mgr manager.Manager, local *localCluster) error {
	return (&machinehealthcheck.Reconciler{
		Client: &checkClient{Client: mgr.GetClient(), live: mgr.GetAPIReader()}, ClusterCache: local,
	}).SetupWithManager(ctx, mgr, controller.Options{MaxConcurrentReconciles: 1, NewQueue: checkQueue})
}

// checkQueue makes the queue of MachineHealthChecks. They know themselves when they have to look again.
func checkQueue(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	budget := newBudget(checkInterval, checkBurst)
	q := newQueue(name, limiter, func(item reconcile.Request) time.Duration { return max(debounce, budget.wait(item, time.Now())) })
	q.longest = func(reconcile.Request) time.Duration { return math.MaxInt64 }
	return q
}

// checkClient is the client of the reconciler of MachineHealthChecks.
//
// A MachineHealthCheck seems to have its Cluster's label and to be owned by it, which its reconciler would write otherwise: it is the
// user's, who may have it from Git, and the adopted Cluster comes and goes with the pools. One of a Cluster that is not ours, or is not
// there, seems not to be there.
//
// An unstructured object is read live. It is one for a remediation by others, of a kind that only the user knows, and that the manager's
// cache could wait for without end.
type checkClient struct {
	client.Client
	live client.Reader
}

// Get implements client.Reader.
func (c *checkClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, is := obj.(*unstructured.Unstructured); is {
		return c.live.Get(ctx, key, obj, opts...)
	}
	if err := c.Client.Get(ctx, key, obj, opts...); err != nil {
		return err
	}
	check, is := obj.(*clusterv1.MachineHealthCheck)
	if !is {
		return nil
	}
	if check.Spec.ClusterName != v1alpha1.AdoptedClusterName {
		return noHealthCheck(check)
	}
	name := client.ObjectKey{Namespace: check.Namespace, Name: check.Spec.ClusterName}
	cluster, err := lookup.GetOrNil(ctx, c.Client, name, &clusterv1.Cluster{})
	switch {
	case err != nil:
		return fmt.Errorf("read the Cluster of MachineHealthCheck %s: %w", key, err)
	case cluster == nil:
		return noHealthCheck(check)
	}
	metav1.SetMetaDataLabel(&check.ObjectMeta, clusterv1.ClusterNameLabel, cluster.Name)
	check.SetOwnerReferences(util.EnsureOwnerRef(check.GetOwnerReferences(), metav1.OwnerReference{
		APIVersion: clusterv1.GroupVersion.String(), Kind: "Cluster", Name: cluster.Name, UID: cluster.UID,
	}))
	return nil
}

func noHealthCheck(check *clusterv1.MachineHealthCheck) error {
	return apierrors.NewNotFound(clusterv1.GroupVersion.WithResource("machinehealthchecks").GroupResource(), check.Name)
}

// List implements client.Reader. MachineHealthChecks are selected by the label that they seem to have.
func (c *checkClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	checks, is := list.(*clusterv1.MachineHealthCheckList)
	if !is {
		return c.Client.List(ctx, list, opts...)
	}
	asked := (&client.ListOptions{}).ApplyOptions(opts)
	all := &clusterv1.MachineHealthCheckList{}
	if err := c.Client.List(ctx, all, client.InNamespace(asked.Namespace)); err != nil {
		return err
	}
	checks.Items = nil
	for _, check := range all.Items {
		of := labels.Set{clusterv1.ClusterNameLabel: check.Spec.ClusterName}
		if asked.LabelSelector == nil || asked.LabelSelector.Matches(of) {
			checks.Items = append(checks.Items, check)
		}
	}
	return nil
}
