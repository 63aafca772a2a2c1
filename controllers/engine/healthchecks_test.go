package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

func newHealthCheck(namespace, name, cluster string, selects map[string]string) *clusterv1.MachineHealthCheck {
	check := &clusterv1.MachineHealthCheck{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	check.Spec.ClusterName = cluster
	check.Spec.Selector.MatchLabels = selects
	return check
}

// ignoredEvents are the kinds and names of what the events are about that say that a MachineHealthCheck does nothing.
func ignoredEvents(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	list := &eventsv1.EventList{}
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var about []string
	for _, e := range list.Items {
		if e.Reason == v1alpha1.ReasonHealthCheckIgnored && e.Type == "Warning" && strings.Contains(e.Note, "it remediates no Machine") {
			about = append(about, e.Regarding.Kind+" "+e.Regarding.Name)
		}
	}
	slices.Sort(about)
	return about, nil
}

func TestAMachineHealthCheckSaysThatItDoesNothing(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	c := server.Client
	startEngine(t, server, rest.CopyConfig(server.Config))
	check := newHealthCheck(namespace, "all", v1alpha1.AdoptedClusterName, map[string]string{clusterv1.ClusterNameLabel: v1alpha1.AdoptedClusterName})
	others := newHealthCheck(namespace, "others", "another", map[string]string{"a": "b"})
	for _, o := range []client.Object{others, check} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	says := func(words string, about ...string) func(context.Context) string {
		return func(ctx context.Context) string {
			if err := c.Get(ctx, client.ObjectKeyFromObject(check), check); err != nil {
				return err.Error()
			}
			is := meta.FindStatusCondition(check.Status.Conditions, clusterv1.MachineHealthCheckRemediationAllowedCondition)
			if is == nil || is.Status != metav1.ConditionFalse || is.Reason != v1alpha1.ReasonHealthCheckIgnored || !strings.HasPrefix(is.Message, words) {
				return fmt.Sprintf("its conditions are %+v", check.Status.Conditions)
			}
			if got, err := ignoredEvents(ctx, c, namespace); err != nil || !slices.Equal(got, about) {
				return fmt.Sprintf("the events are about %v (%v)", got, err)
			}
			return ""
		}
	}
	eventually(t, "it says so, about nobody's Machines yet", says("it remediates no Machine", "MachineHealthCheck all"))
	pool := newPool(t, c, namespace)
	eventually(t, "it says so of a pool that comes later, and so does the pool", says("It is about the Machines of NodePool workers; it remediates no Machine",
		"MachineHealthCheck all", "MachineHealthCheck all", "NodePool workers"))

	version := check.ResourceVersion
	h := &healthChecks{client: c}
	for _, o := range []*clusterv1.MachineHealthCheck{check, others} {
		if _, err := h.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(check), check); err != nil || check.ResourceVersion != version {
		t.Errorf("it is said again and again (%v)", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(others), others); err != nil || len(others.Status.Conditions) > 0 {
		t.Errorf("that of a Cluster that is not ours says %+v (%v)", others.Status.Conditions, err)
	}
	if err := c.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the adoption to end", func(ctx context.Context) string { return nothingAdopted(ctx, c, namespace) })
}

func TestAMachineHealthCheckNamesFewPools(t *testing.T) {
	var pools []*v1alpha1.NodePool
	for i := range 5 {
		pools = append(pools, &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i)}})
	}
	if got := ignoredBy(pools); !strings.HasPrefix(got, "It is about the Machines of NodePools p0, p1, p2, 2 more; ") {
		t.Errorf("it says %q", got)
	}
}
