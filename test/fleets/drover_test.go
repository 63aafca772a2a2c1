package fleets

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/cmd/manager/app"
	"github.com/drover-dev/drover/controllers/discovery"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

const version = "v1.36.3"

// newDrover is Drover's manager as it is.
func newDrover(ctx context.Context, config *rest.Config) (manager.Manager, error) {
	options := app.DefaultOptions().ForTests()
	options.Discovery = discovery.Overrides{Server: "https://10.88.0.1:6443", DNSServers: []string{"10.96.0.10"}, PodCIDRs: []string{"10.244.0.0/16"}}
	return app.New(ctx, config, options)
}

// pool is a fleet of one NodePool.
type pool struct {
	server    *apiserver.Server
	namespace string
	object    *v1alpha1.NodePool
	changed   bool
}

func (p *pool) prepare(tb testing.TB) {
	tb.Helper()
	bundle := &v1alpha1.NodeBundle{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}}
	bundle.Spec.KubernetesVersion = version
	bundle.Spec.Artifacts = []v1alpha1.Artifact{{Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:" + strings.Repeat("ab", 32)}}
	create(tb, p.server, bundle, simulated.NewTemplate(p.namespace, "small"))
}

func (p *pool) apply(tb testing.TB, machines int) {
	tb.Helper()
	p.object = &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "workers"}}
	p.object.Spec.Replicas = ptr.To(int32(machines)) //nolint:gosec // it is small
	p.object.Spec.Template.Spec.Version = version
	p.object.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: simulated.Group, Kind: simulated.TemplateKind.Kind, Name: "small"}
	p.object.Spec.Rollout.MaxUnavailable = ptr.To(intstr.FromString("100%"))
	create(tb, p.server, p.object)
}

func (p *pool) change(tb testing.TB) {
	tb.Helper()
	base := p.object.DeepCopy()
	p.object.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": "web"}
	p.object.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](80)
	if err := p.server.Client.Patch(tb.Context(), p.object, client.MergeFrom(base)); err != nil {
		tb.Fatal(err)
	}
	p.changed = true
}

func (p *pool) left(ctx context.Context) (int, error) {
	if err := p.server.Client.Get(ctx, client.ObjectKeyFromObject(p.object), p.object); err != nil {
		return 0, err
	}
	status, want := p.object.Status, int(*p.object.Spec.Replicas)
	if p.object.Status.ObservedGeneration != p.object.Generation {
		return want, nil
	}
	is := min(ptr.Deref(status.Replicas, 0), ptr.Deref(status.ReadyReplicas, 0), ptr.Deref(status.AvailableReplicas, 0), ptr.Deref(status.UpdatedReplicas, 0))
	if left := want - int(is); left > 0 || !p.changed {
		return left, nil
	}
	return unlabelled(ctx, p.server, "tier", want)
}
