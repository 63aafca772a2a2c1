package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// managerKey names the manager's Deployment, and its ServiceAccount too.
var managerKey = client.ObjectKey{Namespace: "drover-system", Name: "drover-manager"}

// What make build-installer makes runs on a node of Drover's own. The demo's manager serves the image; then it ends, so
// that what is done to a pool is the Deployment's doing, with the rights of its ServiceAccount and no others. For a moment
// both act, which is harmless: a machine's ordinal is reserved with an optimistic lock before the machine is made.
func TestTheInstallerRunsTheManagerOnADroverNode(t *testing.T) {
	world.applyInstaller(t)
	pod := world.awaitManagerPod(t)
	if !strings.HasPrefix(pod.Spec.NodeName, "workers-") || pod.Spec.ServiceAccountName != managerKey.Name {
		t.Errorf("the manager runs on node %q as ServiceAccount %q", pod.Spec.NodeName, pod.Spec.ServiceAccountName)
	}
	eventually(t, podsDeadline, "the Deployment's manager leads", func(ctx context.Context) error {
		var lease coordinationv1.Lease
		if err := world.Get(ctx, client.ObjectKey{Namespace: managerKey.Namespace, Name: "manager.fleet.drover.dev"}, &lease); err != nil {
			return err
		}
		if holder := lease.Spec.HolderIdentity; holder == nil || !strings.HasPrefix(*holder, pod.Name+"_") {
			return fmt.Errorf("the lease is %+v", lease.Spec)
		}
		return nil
	})

	kill(t, world.managerPID(t))
	t.Cleanup(func() { world.startManager(t) })
	pool := world.newPool(t, "e2e-installed", 0)
	world.awaitPool(t, pool.Name, 0)
	world.deletePool(t, pool)
	if log := world.log(t, pod, ""); strings.Contains(log, "forbidden") {
		t.Errorf("the manager was forbidden something:\n%s", log)
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the manager's container did not stay up: %+v, %v", pod.Status.ContainerStatuses, err)
	}
}

// applyInstaller does what the README tells a user to, and takes the Deployment away at the test's end. The kinds and
// the roles stay: the demo's own manager needs them.
func (w *World) applyInstaller(t *testing.T) {
	t.Helper()
	install := filepath.Join(w.Root, "dist", "install.yaml")
	manifest, err := os.ReadFile(install)
	if err != nil || !strings.Contains(string(manifest), "image: "+imageBase+"manager") {
		t.Fatalf("%s does not run the image that the demo serves (%v): run `make image build-installer IMG=%smanager:e2e`", install, err, imageBase)
	}
	t.Cleanup(func() {
		for _, object := range []client.Object{
			&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: managerKey.Namespace, Name: managerKey.Name}},
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: managerKey.Namespace, Name: "drover-manager-metrics"}},
		} {
			if err := w.Delete(context.WithoutCancel(t.Context()), object, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
				t.Errorf("delete %s: %v", object.GetName(), err)
			}
		}
		eventually(t, podsDeadline, "the manager's pod goes", func(ctx context.Context) error {
			pods, err := w.managerPods(ctx)
			if err == nil && len(pods) > 0 {
				err = fmt.Errorf("%s is there", pods[0].Name)
			}
			return err
		})
	})
	for _, file := range []string{filepath.Join(w.Root, "dist", "cluster-api-crds.yaml"), install} {
		w.kubectl(t, "apply", "--server-side", "--force-conflicts", "--filename="+file)
	}
}

// awaitManagerPod waits until the Deployment is Available, and returns its pod.
func (w *World) awaitManagerPod(t *testing.T) (pod *corev1.Pod) {
	t.Helper()
	eventually(t, podsDeadline, "the manager's Deployment is Available", func(ctx context.Context) error {
		pods, err := w.managerPods(ctx)
		if err != nil || len(pods) != 1 {
			return errors.Join(fmt.Errorf("%d pods", len(pods)), err)
		}
		var deployment appsv1.Deployment
		if err := w.Get(ctx, managerKey, &deployment); err != nil {
			return err
		}
		for _, c := range deployment.Status.Conditions {
			if c.Type == appsv1.DeploymentAvailable && c.Status == corev1.ConditionTrue {
				pod = &pods[0]
				return nil
			}
		}
		return fmt.Errorf("it is %+v, its pod %+v", deployment.Status.Conditions, pods[0].Status)
	})
	return pod
}

func (w *World) managerPods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := w.List(ctx, &pods, client.InNamespace(managerKey.Namespace), client.MatchingLabels{"app.kubernetes.io/component": "manager"})
	return pods.Items, err
}
