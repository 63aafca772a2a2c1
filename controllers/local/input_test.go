package local

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// TestBadInput is refused when it is applied, in a machine as in a template.
func TestBadInput(t *testing.T) {
	cases := map[string]struct {
		reason string
		edit   func(*v1alpha1.LocalMachineSpec)
		want   string
	}{
		"no processor":        {"a machine runs on one", func(s *v1alpha1.LocalMachineSpec) { s.CPUs = ptr.To[int32](0) }, "cpus"},
		"absurd processors":   {"no host has as many", func(s *v1alpha1.LocalMachineSpec) { s.CPUs = ptr.To[int32](1025) }, "cpus"},
		"little memory":       {"a node does not start in it", memory("511Mi"), "at least 512Mi"},
		"negative memory":     {"there is none", memory("-1Gi"), "at least 512Mi"},
		"absurd memory":       {"no host has as much", memory("65Ti"), "more than 64Ti"},
		"long bridge":         {"the kernel's names of links have 15 characters", network(v1alpha1.LocalNetwork{Bridge: strings.Repeat("b", 16)}), "network.bridge"},
		"bridge of a path":    {"a link's name becomes part of paths", network(v1alpha1.LocalNetwork{Bridge: "../eth0"}), "network.bridge"},
		"first address alone": {"a range has two ends", network(v1alpha1.LocalNetwork{FirstAddress: "10.88.0.10"}), "or neither"},
		"last address alone":  {"a range has two ends", network(v1alpha1.LocalNetwork{LastAddress: "10.88.0.10"}), "or neither"},
		"no address":          {"an address has four numbers below 256", network(v1alpha1.LocalNetwork{FirstAddress: "10.88.0.256", LastAddress: "10.88.1.10"}), "are IPv4 addresses"},
		"IPv6 address":        {"the bridge's subnet is of IPv4", network(v1alpha1.LocalNetwork{FirstAddress: "fd00::10", LastAddress: "fd00::20"}), "are IPv4 addresses"},
	}
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			machine, template := &v1alpha1.LocalMachine{}, &v1alpha1.LocalMachineTemplate{}
			for _, spec := range []*v1alpha1.LocalMachineSpec{&machine.Spec, &template.Spec.Template.Spec} {
				spec.CPUs = ptr.To[int32](1)
				tc.edit(spec)
			}
			for _, object := range []client.Object{machine, template} {
				object.SetNamespace(namespace)
				object.SetName("bad")
				if err := server.Client.Create(t.Context(), object); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: got %v for a %T, want it refused for %q", tc.reason, err, object, tc.want)
				}
			}
		})
	}
}

func memory(quantity string) func(*v1alpha1.LocalMachineSpec) {
	return func(s *v1alpha1.LocalMachineSpec) { s.Memory = ptr.To(resource.MustParse(quantity)) }
}

func network(n v1alpha1.LocalNetwork) func(*v1alpha1.LocalMachineSpec) {
	return func(s *v1alpha1.LocalMachineSpec) { s.Network = n }
}

// TestATemplateStaysWhatItIs, so that all machines made from it are alike; what is good for one is let in.
func TestATemplateStaysWhatItIs(t *testing.T) {
	server := apiserver.Shared(t)
	template := &v1alpha1.LocalMachineTemplate{}
	template.Namespace, template.Name = server.Namespace(t), "good"
	spec := &template.Spec.Template.Spec
	spec.CPUs, spec.Memory = ptr.To[int32](1024), ptr.To(resource.MustParse("64Ti"))
	spec.Network = v1alpha1.LocalNetwork{Bridge: strings.Repeat("b", 15), FirstAddress: "10.88.0.10", LastAddress: "10.88.0.250"}
	if err := server.Client.Create(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*v1alpha1.LocalMachineTemplate){
		"another size":   func(one *v1alpha1.LocalMachineTemplate) { one.Spec.Template.Spec.CPUs = ptr.To[int32](2) },
		"no size":        func(one *v1alpha1.LocalMachineTemplate) { one.Spec.Template.Spec.Memory = nil },
		"another bridge": func(one *v1alpha1.LocalMachineTemplate) { one.Spec.Template.Spec.Network.Bridge = "br0" },
		"a label for its": func(one *v1alpha1.LocalMachineTemplate) {
			one.Spec.Template.ObjectMeta.Labels = map[string]string{"a": "b"}
		},
	} {
		changed := template.DeepCopy()
		edit(changed)
		if err := server.Client.Update(t.Context(), changed); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "make a new one and point the pool's infrastructureRef at it") {
			t.Errorf("%s: got %v, want it refused with what to do", what, err)
		}
	}
	template.Labels = map[string]string{"its": "own"}
	if err := server.Client.Update(t.Context(), template); err != nil {
		t.Errorf("a template's own metadata may be changed: %v", err)
	}
	named := template.DeepCopy()
	named.Name, named.ResourceVersion, named.UID = "named", "", ""
	named.Spec.Template.Spec.ProviderID = "drover-local://default/x"
	if err := server.Client.Create(t.Context(), named); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "not in a template") {
		t.Errorf("got %v for a provider ID in a template, want it refused", err)
	}
}
