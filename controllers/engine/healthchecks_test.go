package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

func newHealthCheck(namespace, name, cluster string, selects map[string]string) *clusterv1.MachineHealthCheck {
	check := &clusterv1.MachineHealthCheck{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	check.Spec.ClusterName = cluster
	check.Spec.Selector = metav1.LabelSelector{MatchLabels: selects}
	return check
}

// remediation is what a Machine's conditions say about that: whether it passed a check, and what its owner is asked.
func remediation(m *clusterv1.Machine) string {
	var said []string
	for _, conditionType := range []string{clusterv1.MachineHealthCheckSucceededCondition, clusterv1.MachineOwnerRemediatedCondition} {
		if c := meta.FindStatusCondition(m.Status.Conditions, conditionType); c != nil {
			said = append(said, fmt.Sprintf("%s %s %s", conditionType, c.Status, c.Reason))
		}
	}
	return strings.Join(said, ", ")
}

// TestAMachineHealthCheckAsksForAMachine with the reconciler of the pinned Cluster API, and nothing of the check but its status is written.
func TestAMachineHealthCheckAsksForAMachine(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	c := server.Client
	startEngine(t, server, rest.CopyConfig(server.Config))
	check := newHealthCheck(namespace, "all", v1alpha1.AdoptedClusterName, map[string]string{v1alpha1.WatchFilterLabel: v1alpha1.WatchFilterValue})
	others := newHealthCheck(namespace, "others", "another", map[string]string{"a": "b"})
	for _, o := range []client.Object{others, check} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	pool := newPool(t, c, namespace)
	machine := &clusterv1.Machine{}
	name := client.ObjectKey{Namespace: namespace, Name: namespace + "-0"}
	createMachine(t, c, getCluster(t, c, namespace), pool, name.Name)
	says := func(want string) {
		t.Helper()
		eventually(t, "the Machine to say "+want, func(ctx context.Context) string {
			if err := c.Get(ctx, name, machine); err != nil {
				return err.Error()
			}
			if got := remediation(machine); got != want {
				return "it says " + got
			}
			return ""
		})
	}
	says("") // Of a machine that has yet to join it says nothing.
	base := machine.DeepCopy()
	metav1.SetMetaDataAnnotation(&machine.ObjectMeta, clusterv1.RemediateMachineAnnotation, "")
	if err := c.Patch(t.Context(), machine, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	says("HealthCheckSucceeded False HasRemediateAnnotation, OwnerRemediated False WaitingForRemediation")

	eventually(t, "the check to say which machines it is about", func(ctx context.Context) string {
		err := c.Get(ctx, client.ObjectKeyFromObject(check), check)
		if err != nil || !meta.IsStatusConditionTrue(check.Status.Conditions, clusterv1.MachineHealthCheckRemediationAllowedCondition) || !slices.Equal(check.Status.Targets, []string{name.Name}) {
			return fmt.Sprintf("it says %+v (%v)", check.Status, err)
		}
		return ""
	})
	if len(check.Labels) > 0 || len(check.OwnerReferences) > 0 {
		t.Errorf("somebody else's object has the labels %v and the owners %v", check.Labels, check.OwnerReferences)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(others), others); err != nil || len(others.Status.Conditions) > 0 {
		t.Errorf("that of a Cluster that is not ours says %+v (%v)", others.Status.Conditions, err)
	}
	if err := c.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

// TestWhatTheReconcilerOfHealthChecksSees of checks whose Cluster is not there, and of kinds that nobody knows.
func TestWhatTheReconcilerOfHealthChecksSees(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	sees := &checkClient{Client: server.Client, live: server.Client}
	mine, others := newHealthCheck(namespace, "mine", v1alpha1.AdoptedClusterName, map[string]string{"a": "b"}), newHealthCheck(namespace, "others", "another", map[string]string{"a": "b"})
	for _, o := range []client.Object{mine, others} {
		if err := server.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := sees.Get(t.Context(), client.ObjectKeyFromObject(o), &clusterv1.MachineHealthCheck{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s is seen, whose Cluster is not there: %v", o.GetName(), err)
		}
	}
	for cluster, want := range map[string]string{v1alpha1.AdoptedClusterName: "mine", "another": "others"} {
		list := &clusterv1.MachineHealthCheckList{}
		err := sees.List(t.Context(), list, client.InNamespace(namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: cluster})
		if err != nil || len(list.Items) != 1 || list.Items[0].Name != want {
			t.Errorf("of Cluster %s there are %d (%v), want %s", cluster, len(list.Items), err, want)
		}
	}
	counts := &countedReads{Reader: server.Client}
	sees.live = counts
	unknown := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "nobody.example/v1", "kind": "Remediation"}}
	if err := sees.Get(t.Context(), client.ObjectKeyFromObject(mine), unknown); err == nil || counts.n != 1 {
		t.Errorf("what nobody knows is read live %d times: %v", counts.n, err)
	}
}

type countedReads struct {
	client.Reader
	n int
}

func (c *countedReads) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	c.n++
	return c.Reader.Get(ctx, key, object, options...)
}
