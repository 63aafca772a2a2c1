package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestCheckRefusesWhatDroverDidNotInstall(t *testing.T) {
	server := apiserver.Start(t)
	ctx, c := t.Context(), server.Client
	namespace := server.Namespace(t)
	refuses := func(reason string, mode Mode, want string) {
		t.Helper()
		switch err := Check(ctx, c, mode); {
		case want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", reason, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want an error with %q", reason, err, want)
		}
	}
	refuses("all is there and ours", Embedded, "")

	core := deployment(namespace, coreDeployment)
	create(ctx, t, c, core)
	refuses("another core is installed", Embedded, "another Cluster API is installed (Deployment "+namespace+"/capi-controller-manager)")
	refuses("external mode wants another core", External, "")
	core.Spec.Replicas = ptr.To[int32](0)
	if err := c.Update(ctx, core); err != nil {
		t.Fatal(err)
	}
	refuses("the other core is scaled to nothing", Embedded, "")

	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: coreLease}}
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: ptr.To("somebody"), LeaseDurationSeconds: ptr.To[int32](2)}
	for what, apart := range map[string]time.Duration{"behind ours": -time.Hour, "ahead of ours": time.Hour} {
		lease.ResourceVersion, lease.Spec.RenewTime = "", ptr.To(metav1.NewMicroTime(time.Now().Add(apart)))
		create(ctx, t, c, lease)
		stop := renew(ctx, t, c, lease.DeepCopy())
		refuses("another core, whose clock is "+what+", holds its lease", Embedded, "is held by somebody")
		stop()
		refuses("the lease ran out, by a clock that is "+what, Embedded, "")
		if err := c.Delete(ctx, lease); err != nil {
			t.Fatal(err)
		}
	}

	machines := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(ctx, client.ObjectKey{Name: "machines.cluster.x-k8s.io"}, machines); err != nil {
		t.Fatal(err)
	}
	delete(machines.Labels, v1alpha1.ManagedLabel)
	if err := c.Update(ctx, machines); err != nil {
		t.Fatal(err)
	}
	refuses("somebody else installed the definition", Embedded, "machines.cluster.x-k8s.io was not installed by Drover")
	refuses("external mode wants it so", External, "")
	if err := c.Delete(ctx, machines); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the definition to go", func(ctx context.Context) string { return isGone(ctx, c, machines) })
	refuses("it is missing", Embedded, "apply dist/cluster-api-crds.yaml first")
	refuses("it is missing", External, "install Cluster API, or run with --cluster-api=embedded")
}

// renew goes on renewing a lease, by the clock that it has, until it is told to stop.
func renew(ctx context.Context, t *testing.T, c client.Client, lease *coordinationv1.Lease) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait.UntilWithContext(ctx, func(ctx context.Context) {
			lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(lease.Spec.RenewTime.Add(100 * time.Millisecond)))
			if err := c.Update(ctx, lease); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}, 100*time.Millisecond)
	}()
	return func() {
		cancel()
		<-done
	}
}

func create(ctx context.Context, t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(ctx, object); err != nil {
		t.Fatal(err)
	}
}

func deployment(namespace, name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "none"}}},
			},
		},
	}
}
