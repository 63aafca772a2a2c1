package nodepool_test

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestBadInput is refused when it is applied, with a sentence about the field.
func TestBadInput(t *testing.T) {
	cases := map[string]struct {
		reason string
		edit   func(*v1alpha1.NodePool)
		want   string
	}{
		"negative replicas": {"a pool cannot have fewer than no nodes", func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](-1) }, "spec.replicas"},
		"absurd replicas":   {"a typing mistake must not buy a million machines", func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1_000_000) }, "spec.replicas"},
		"version without v": {"versions are spelled as Kubernetes spells them", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Version = "1.36.3" }, "version"},
		"half a version":    {"a version has three numbers", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Version = "v1.36" }, "version"},
		"not a template":    {"the reference is to a template", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.Kind = "LocalMachine" }, "infrastructureRef.kind"},
		"long name":         {"the pool's name is a label's value", func(p *v1alpha1.NodePool) { p.Name = strings.Repeat("a", 64) }, "at most 63"},
		"dotted name":       {"the pool's name begins the names of Nodes", func(p *v1alpha1.NodePool) { p.Name = "a.b" }, "at most 63"},
		"our own label": {"labels of ours are not a user's", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"fleet.drover.dev/pool": "x"}
		}, "set by Drover"},
		"another's host name": {"pods with local volumes find their Node by it", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"kubernetes.io/hostname": "database-0"}
		}, "for its kubelet to say"},
		"bad taint": {"a taint has one of three effects", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Spec.Taints = []v1alpha1.Taint{{Key: "a", Effect: "Never"}}
		}, "effect"},
	}
	s := newSite(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pool := s.pool("workers", 1)
			tc.edit(pool)
			if err := s.Client.Create(t.Context(), pool); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want it refused for %q", tc.reason, err, tc.want)
			}
		})
	}
}

// TestBadScale is refused when the scale subresource is written, too, as kubectl scale and autoscalers do.
func TestBadScale(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 0)
	s.create(pool)
	for _, replicas := range []int32{-1, 1_000_000} {
		scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: pool.Namespace, Name: pool.Name}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
		err := s.Client.SubResource("scale").Update(t.Context(), pool, client.WithSubResourceBody(scale))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "replicas") {
			t.Errorf("%d replicas: got %v, want it refused", replicas, err)
		}
	}
}

func TestImmutableSpecs(t *testing.T) {
	s := newSite(t)
	b := bundle("immutable", "v1.1.1")
	s.create(b)
	b.Spec.KubernetesVersion = "v1.1.2"
	if err := s.Client.Update(t.Context(), b); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "make a new NodeBundle") {
		t.Errorf("a bundle's spec stays what it is: %v", err)
	}
}

// TestLongestName makes a machine, whose name every other part can use.
func TestLongestName(t *testing.T) {
	s := newSite(t)
	s.startManager()
	s.create(s.pool(strings.Repeat("long-", 12)+"end", 1))
	s.eventually("the machine is made", func() error { return s.counts(1, 0) })
	if name := s.machines()[0].Name; len(name) > 63 || strings.Contains(name, "--") {
		t.Errorf("a Node's name has at most 63 characters: %s has %d", name, len(name))
	}
}
