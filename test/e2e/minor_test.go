package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// testAnotherMinorVersionIsForADrainedNode upgrades two nodes over a minor version of Kubernetes, under pods of which one may be
// away at a time.
func testAnotherMinorVersionIsForADrainedNode(t *testing.T) {
	const name, older = "e2e-minor", "v1.36.5"
	newer := must[*corev1.Node](t)(world.node(t.Context(), world.aNode(t))).Status.NodeInfo.KubeletVersion
	world.bundle(t, older)
	pool := world.newPool(t, name, 2, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = older })
	world.awaitPool(t, pool.Name, 2)
	labels := map[string]string{"app": name}
	template := busybox(name, idle)
	template.Spec.NodeSelector = map[string]string{fleetv1.PoolLabel: name}
	template.Spec.Tolerations = []corev1.Toleration{{Key: "e2e", Operator: corev1.TolerationOpExists}}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: template.Spec},
		},
	}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}
	for _, object := range []client.Object{budget, deployment} {
		if err := world.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := world.Delete(context.WithoutCancel(t.Context()), object, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
				t.Errorf("delete %s: %v", object.GetName(), err)
			}
		})
	}
	available := func(ctx context.Context) (int32, error) {
		err := world.Get(ctx, client.ObjectKeyFromObject(deployment), deployment)
		return deployment.Status.AvailableReplicas, err
	}
	eventually(t, podsDeadline, "both pods are available", func(ctx context.Context) error {
		n, err := available(ctx)
		if err == nil && n != 2 {
			err = fmt.Errorf("%d are", n)
		}
		return err
	})

	world.edit(t, name, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = newer })
	cordoned := map[string]bool{}
	eventually(t, nodesDeadline, "both nodes run "+newer+" and take pods", func(ctx context.Context) error {
		if n, err := available(ctx); err != nil || n < 1 {
			t.Errorf("%d pods are available, where the budget allows one to be away: %v", n, err)
		}
		nodes, err := world.nodes(ctx, name)
		if err != nil {
			return err
		}
		var waits []string
		for _, n := range nodes {
			cordoned[n.Name] = cordoned[n.Name] || n.Spec.Unschedulable
			if n.Status.NodeInfo.KubeletVersion != newer || n.Spec.Unschedulable {
				waits = append(waits, fmt.Sprintf("%s runs %s, cordoned: %t", n.Name, n.Status.NodeInfo.KubeletVersion, n.Spec.Unschedulable))
			}
		}
		return unless(len(nodes) == 2 && len(waits) == 0, "%d nodes are ready: %s", len(nodes), strings.Join(waits, "; "))
	})
	for node, was := range cordoned {
		if !was {
			t.Errorf("%s was never cordoned", node)
		}
	}
	world.awaitPool(t, name, 2)
}
