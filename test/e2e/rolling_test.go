package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// rollingNodes is how many nodes, and pods, a rolling has.
const rollingNodes = 4

// rolling is a pool whose pods are called all the time, by way of each of its nodes, while these are upgraded. One pod may be away.
type rolling struct {
	pool       *fleetv1.NodePool
	deployment *appsv1.Deployment
	calls      *calls
}

// newRolling makes the pool, with nodes of a version.
func newRolling(t *testing.T, name, version string) *rolling {
	t.Helper()
	r := &rolling{pool: world.newPool(t, name, rollingNodes, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = version })}
	world.awaitPool(t, name, rollingNodes)
	labels := map[string]string{"app": name}
	template := busybox(name, "mkdir /www && echo ok > /www/index.html && exec httpd -f -p 8080 -h /www")
	template.Spec.NodeSelector = map[string]string{fleetv1.PoolLabel: name}
	template.Spec.Tolerations = []corev1.Toleration{{Key: "e2e", Operator: corev1.TolerationOpExists}}
	template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](10)
	web := &template.Spec.Containers[0]
	// A pod that goes answers until all nodes have heard of it.
	web.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
	web.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8080)}}}
	template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
	}}
	r.deployment = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](rollingNodes), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: template.Spec},
		},
	}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}
	for _, object := range []client.Object{budget, r.deployment} {
		if err := world.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := world.Delete(context.WithoutCancel(t.Context()), object, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
				t.Errorf("delete %s: %v", object.GetName(), err)
			}
		})
	}
	eventually(t, podsDeadline, "all pods are available", func(ctx context.Context) error {
		n, err := r.available(ctx)
		return errors.Join(err, unless(n == rollingNodes, "%d are", n))
	})
	var urls []string
	port := nodePort(t, name, name)
	for _, node := range must[[]corev1.Node](t)(world.nodes(t.Context(), name)) {
		url := fmt.Sprintf("http://%s:%d/", address(&node, corev1.NodeInternalIP), port)
		eventually(t, podsDeadline, url+" answers", func(ctx context.Context) error { return get(ctx, url) })
		urls = append(urls, url)
	}
	r.calls = call(t, urls...)
	return r
}

func (r *rolling) available(ctx context.Context) (int32, error) {
	err := world.Get(ctx, client.ObjectKeyFromObject(r.deployment), r.deployment)
	return r.deployment.Status.AvailableReplicas, err
}

// containers are those of the pods, by their IDs.
func (r *rolling) containers(t *testing.T) (ids []string) {
	t.Helper()
	for _, pod := range must[[]corev1.Pod](t)(world.pods(t.Context(), r.deployment.Spec.Selector.MatchLabels)) {
		ids = append(ids, pod.Status.ContainerStatuses[0].ContainerID)
	}
	slices.Sort(ids)
	return ids
}

// upgrade has the pool's nodes run another version, and waits until each does and takes pods. It returns those that were cordoned.
func (r *rolling) upgrade(t *testing.T, version string) (cordoned []string) {
	t.Helper()
	world.edit(t, r.pool.Name, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = version })
	eventually(t, rollingNodes*nodesDeadline, "all nodes run "+version+" and take pods", func(ctx context.Context) error {
		if n, err := r.available(ctx); err != nil || n < rollingNodes-1 {
			t.Errorf("%d pods are available, where the budget allows one to be away: %v", n, err)
		}
		nodes, err := world.nodes(ctx, r.pool.Name)
		if err != nil {
			return err
		}
		var waits []string
		for _, n := range nodes {
			if n.Spec.Unschedulable && !slices.Contains(cordoned, n.Name) {
				cordoned = append(cordoned, n.Name)
			}
			if n.Status.NodeInfo.KubeletVersion != version || n.Spec.Unschedulable {
				waits = append(waits, fmt.Sprintf("%s runs %s, cordoned: %t", n.Name, n.Status.NodeInfo.KubeletVersion, n.Spec.Unschedulable))
			}
		}
		return unless(len(nodes) == rollingNodes && len(waits) == 0, "%d nodes are ready: %s", len(nodes), strings.Join(waits, "; "))
	})
	world.awaitPool(t, r.pool.Name, rollingNodes)
	return cordoned
}

// answered says that each call was.
func (r *rolling) answered(t *testing.T) {
	t.Helper()
	failed, asked := r.calls.end()
	if len(failed) > 0 || asked == 0 {
		t.Errorf("%d of %d calls failed: %v", len(failed), asked, sample(failed))
	}
	t.Logf("%d calls, %d failed", asked, len(failed))
}

func sample(all []string) []string { return all[:min(len(all), 5)] }

// testAnotherMinorVersionIsForADrainedNode upgrades four nodes over a minor version of Kubernetes, each drained first, under load.
func testAnotherMinorVersionIsForADrainedNode(t *testing.T) {
	const older = "v1.36.5"
	newer := world.demoVersion(t)
	world.bundle(t, older)
	r := newRolling(t, "e2e-minor", older)
	if cordoned := r.upgrade(t, newer); len(cordoned) != rollingNodes {
		t.Errorf("only %v were cordoned", cordoned)
	}
	r.answered(t)
}

// testAPatchVersionLeavesPodsAloneAndABadOneStopsAtTheCanary upgrades four nodes to a patch version under load, whose pods run on, and
// then to one whose kubelet ends at once: that is given to the canary alone.
func testAPatchVersionLeavesPodsAloneAndABadOneStopsAtTheCanary(t *testing.T) {
	const older = "v1.37.1"
	newer := world.demoVersion(t)
	world.bundle(t, older)
	bad := world.bundle(t, "-exits")
	r := newRolling(t, "e2e-patch", older)
	before := r.containers(t)
	if cordoned := r.upgrade(t, newer); len(cordoned) > 0 {
		t.Errorf("%v were cordoned for a patch version", cordoned)
	}
	good := r.revision(t)

	r.pool = world.edit(t, r.pool.Name, func(pool *fleetv1.NodePool) {
		pool.Spec.Template.Spec.Version = bad
		pool.Spec.Rollout.MaxUnavailable = ptr.To(intstr.FromInt32(2))
		pool.Spec.Rollout.Canary = &fleetv1.RolloutCanary{Replicas: ptr.To[int32](1), SoakSeconds: ptr.To[int32](1)}
		pool.Spec.Rollout.OnFailure = fleetv1.RolloutOnFailureRollback
	})
	given := map[string]bool{}
	eventually(t, nodesDeadline, "the canary went back, and the pool says so", func(ctx context.Context) error {
		var agents fleetv1.NodeAgentList
		if err := world.List(ctx, &agents, client.MatchingLabels{fleetv1.PoolUIDLabel: string(r.pool.UID)}); err != nil {
			return err
		}
		for i := range agents.Items {
			if a := &agents.Items[i]; a.Spec.Revision != good {
				given[a.Name] = true
			}
		}
		if err := world.Get(ctx, client.ObjectKeyFromObject(r.pool), r.pool); err != nil {
			return err
		}
		return poolIs(r.pool, fleetv1.StalledCondition, fleetv1.ReasonRolledBack)
	})
	if len(given) != 1 {
		t.Errorf("%v were given what does not work, want the canary alone", given)
	}
	eventually(t, nodesDeadline, "all nodes run what they ran, and the rollout is over", func(ctx context.Context) error {
		if err := world.Get(ctx, client.ObjectKeyFromObject(r.pool), r.pool); err != nil {
			return err
		}
		rollout := r.pool.Status.Rollout
		return unless(rollout != nil && rollout.Phase == fleetv1.RolloutPhaseRolledBack && ptr.Deref(r.pool.Status.ReadyReplicas, 0) == rollingNodes, "the status is %+v", r.pool.Status)
	})
	failed := r.pool.Status.Rollout.Failed
	if failed == nil || !given[failed.Machine] || failed.PreviousRevision != good || !strings.Contains(failed.Message, "kubelet ended") {
		t.Errorf("what is remembered is %+v, want the canary, %v, and how its kubelet ended", failed, given)
	}
	if said := meta.FindStatusCondition(r.pool.Status.Conditions, fleetv1.StalledCondition); failed != nil && !strings.Contains(said.Message, failed.Machine) {
		t.Errorf("the pool says %q, which does not name %s", said.Message, failed.Machine)
	}
	for _, node := range must[[]corev1.Node](t)(world.nodes(t.Context(), r.pool.Name)) {
		if got := node.Status.NodeInfo.KubeletVersion; got != newer {
			t.Errorf("%s runs %s, want %s", node.Name, got, newer)
		}
	}
	if after := r.containers(t); !slices.Equal(before, after) {
		t.Errorf("the containers were %v and are %v", before, after)
	}
	r.answered(t)
}

// revision is the one that the pool's template asks for.
func (r *rolling) revision(t *testing.T) string {
	t.Helper()
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(r.pool), r.pool); err != nil {
		t.Fatal(err)
	}
	return r.pool.Status.Revision
}
