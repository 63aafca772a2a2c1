package revision

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

// inputs are what a revision is made of.
type inputs struct {
	pool   *v1alpha1.NodePool
	infra  *unstructured.Unstructured
	bundle *v1alpha1.NodeBundle
}

func given() *inputs {
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers", UID: "pool-1"}}
	spec := &pool.Spec.Template.Spec
	spec.Version = "v1.36.5"
	spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: "fleet.drover.dev", Kind: "LocalMachineTemplate", Name: "small"}
	spec.Kubelet.MaxPods = ptr.To[int32](50)
	spec.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("0.5")}
	spec.Runtime.RegistryMirrors = []v1alpha1.RegistryMirror{{Registry: "docker.io", Endpoints: []string{"https://mirror.example"}}}
	spec.Sysctls = map[string]v1alpha1.SysctlValue{"vm.swappiness": "10"}
	spec.Proxy.Mode, spec.Network.Mode = v1alpha1.ProxyModeNFTables, v1alpha1.NetworkModeRoutes // as the API server fills in
	infra := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"uid": "infra-1", "generation": int64(1)},
		"spec":     map[string]any{"template": map[string]any{"spec": map[string]any{"cpus": int64(2)}}},
	}}
	return &inputs{pool, infra, &v1alpha1.NodeBundle{Spec: v1alpha1.NodeBundleSpec{
		KubernetesVersion: "v1.36.5", Artifacts: []v1alpha1.Artifact{artifact("arm64", "a.example", "2"), artifact("amd64", "a.example", "1")},
	}}}
}

func artifact(architecture, registry, digit string) v1alpha1.Artifact {
	return v1alpha1.Artifact{Architecture: architecture, Image: registry + "/bundle@sha256:" + strings.Repeat(digit, 64)}
}

func (in *inputs) identity(t *testing.T) *Identity {
	t.Helper()
	i, err := Of(in.pool, in.infra, in.bundle)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// stored is the ControllerRevision of the inputs.
func (in *inputs) stored(t *testing.T, number int64) *appsv1.ControllerRevision {
	t.Helper()
	i := in.identity(t)
	annotations, err := i.Annotations()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v1alpha1.NodeAgentSpec{Revision: i.Name(), Artifacts: desired.Sorted(in.bundle.Spec.Artifacts)})
	if err != nil {
		t.Fatal(err)
	}
	r := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "workers-" + i.Name(), Labels: map[string]string{v1alpha1.RevisionLabel: i.Name()}, Annotations: annotations,
	}, Revision: number}
	r.Data.Raw = raw
	return r
}

// hashOfV1 is what a Drover whose hash was of the first way stored for what is given here.
const hashOfV1 = "540d7ad160f5e9268ef78e8af21fa0149e5028e4b25ce12e5337118bd371fe64"

// storedV1 is what such a Drover stored.
func storedV1(t *testing.T) *appsv1.ControllerRevision {
	t.Helper()
	r := given().stored(t, 1)
	r.Annotations = map[string]string{v1alpha1.TemplateHashAnnotation: hashOfV1, v1alpha1.InfrastructureAnnotation: r.Annotations[v1alpha1.InfrastructureAnnotation]}
	return r
}

func TestWhatMakesAnotherRevision(t *testing.T) {
	template := func(change func(*v1alpha1.NodeTemplateSpec)) func(*inputs) {
		return func(in *inputs) { change(&in.pool.Spec.Template.Spec) }
	}
	artifacts := func(list ...v1alpha1.Artifact) func(*inputs) {
		return func(in *inputs) { in.bundle.Spec.Artifacts = list }
	}
	infrastructure := func(uid string, generation int64, spec map[string]any) func(*inputs) {
		return func(in *inputs) {
			in.infra.Object = map[string]any{"metadata": map[string]any{"uid": uid, "generation": generation}, "spec": map[string]any{"template": map[string]any{"spec": spec}}}
		}
	}
	const same, other = true, false
	for _, test := range []struct {
		reason string
		change func(*inputs)
		want   bool
		// v1 is the same of a revision that an earlier Drover stored.
		v1 bool
	}{
		{"nothing changed", func(*inputs) {}, same, same},
		{"what the user did not write has no default yet", template(func(s *v1alpha1.NodeTemplateSpec) { s.Proxy.Mode, s.Network.Mode = "", "" }), same, same},
		{"a setting", template(func(s *v1alpha1.NodeTemplateSpec) { s.Kubelet.MaxPods = ptr.To[int32](51) }), other, other},
		{"a setting that is taken away", template(func(s *v1alpha1.NodeTemplateSpec) { s.Kubelet.MaxPods = nil }), other, other},
		{"a setting that has a default, and another value", template(func(s *v1alpha1.NodeTemplateSpec) { s.Proxy.Mode = v1alpha1.ProxyModeIPTables }), other, other},
		{"a setting beside one that has its default", template(func(s *v1alpha1.NodeTemplateSpec) { s.Network.MTU = ptr.To[int32](1400) }), other, other},
		{"one quantity in another spelling", template(func(s *v1alpha1.NodeTemplateSpec) {
			s.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("500m")}
		}), same, same},
		{"another version", template(func(s *v1alpha1.NodeTemplateSpec) { s.Version = "v1.37.2" }), other, other},
		{"labels and taints, which are patched live", func(in *inputs) {
			in.pool.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"a": "b"}
			in.pool.Spec.Template.Spec.Taints = []v1alpha1.Taint{{Key: "a", Effect: corev1.TaintEffectNoSchedule}}
		}, same, same},
		{"the bundle named that it was anyway", template(func(s *v1alpha1.NodeTemplateSpec) { s.Bundle = "v1.36.5" }), same, same},
		{"an agent, where the template named none", template(func(s *v1alpha1.NodeTemplateSpec) { s.Agent = release("1") }), other, other},
		{"the number of replicas", func(in *inputs) { in.pool.Spec.Replicas = ptr.To[int32](9) }, same, same},
		{"a pool of the same name made anew", func(in *inputs) { in.pool.UID = "pool-2" }, other, other},

		{"the bundle's architectures in another order", artifacts(artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2")), same, same},
		{"the bundle in another registry", artifacts(artifact("arm64", "b.example", "2"), artifact("amd64", "b.example/x", "1")), same, same},
		{"the bundle with another architecture", artifacts(artifact("arm64", "a.example", "2"), artifact("amd64", "a.example", "1"), artifact("s390x", "a.example", "3")), same, same},
		{"the bundle without one of its architectures", artifacts(artifact("amd64", "a.example", "1")), same, same},
		{"another digest", artifacts(artifact("arm64", "a.example", "2"), artifact("amd64", "a.example", "9")), other, other},
		{"another digest beside another architecture", artifacts(artifact("amd64", "a.example", "9"), artifact("s390x", "a.example", "3")), other, other},

		{"another infrastructure template", template(func(s *v1alpha1.NodeTemplateSpec) { s.InfrastructureRef.Name = "large" }), other, other},
		{"the infrastructure template made anew as it was", infrastructure("infra-2", 1, map[string]any{"cpus": int64(2)}), same, same},
		{"the infrastructure template made anew otherwise; of an earlier Drover its content is not known", infrastructure("infra-2", 1, map[string]any{"cpus": int64(4)}), other, same},
		{"the infrastructure template edited", infrastructure("infra-1", 2, map[string]any{"cpus": int64(4)}), other, same},
		{"a default that a newer provider shows in an infrastructure template that nobody wrote", infrastructure("infra-1", 1, map[string]any{"cpus": int64(2), "disk": "10Gi"}), same, same},
		{"an infrastructure template that is away, and problem enough", func(in *inputs) { in.infra = nil }, same, same},
	} {
		t.Run(test.reason, func(t *testing.T) {
			now := given()
			test.change(now)
			for from, c := range map[string]struct {
				stored *appsv1.ControllerRevision
				want   bool
			}{"ours": {given().stored(t, 1), test.want}, "v1": {storedV1(t), test.v1}} {
				got, err := now.identity(t).Is(c.stored)
				if err != nil || got != c.want {
					t.Errorf("%s: got %v (%v), want %v", from, got, err, c.want)
				}
			}
			if name := now.identity(t).Name(); now.infra != nil && test.want == other && name == given().identity(t).Name() {
				t.Errorf("another revision has the same name, %s", name)
			}
		})
	}
}

// hashOfV2 and nameOfV2 are what the second way makes of what is given here. Pools are stored with them: a Drover that makes
// anything else of it has all their nodes roll.
const (
	hashOfV2 = "2:22d9b496c3bc3c07e5f5451ade84045eab4b105826228faf961b3e5bf1b14f3f"
	nameOfV2 = "7e302f57fb"
)

func TestNoUpgradeMakesAnotherRevision(t *testing.T) {
	i := given().identity(t)
	if i.hash != hashOfV2 || i.Name() != nameOfV2 {
		t.Errorf("the template's hash is %s and its revision %s, want %s and %s", i.hash, i.Name(), hashOfV2, nameOfV2)
	}
}

// hashWithAgent is the same where the template names an agent.
const hashWithAgent = "2:60fb3c3cd7b1f5ef795e318556cc898618256cdeab998bb2b7d7b92430512096"

func TestAnAgentIsPartOfItsRevision(t *testing.T) {
	has := given()
	has.pool.Spec.Template.Spec.Agent = release("1")
	if i := has.identity(t); i.hash != hashWithAgent {
		t.Errorf("the template's hash is %s, want %s", i.hash, hashWithAgent)
	}
	for reason, c := range map[string]struct {
		change func(*v1alpha1.AgentRelease)
		want   bool
	}{
		"the images in another order": {func(r *v1alpha1.AgentRelease) { slices.Reverse(r.Artifacts) }, true},
		"another program":             {func(r *v1alpha1.AgentRelease) { r.Artifacts = release("3").Artifacts }, false},
		"another version":             {func(r *v1alpha1.AgentRelease) { r.Version = "v0.3.0" }, false},
		"another registry, where the nodes are to have it from": {func(r *v1alpha1.AgentRelease) { r.Artifacts[0].Image = artifact("amd64", "b.example", "1").Image }, false},
	} {
		now := given()
		now.pool.Spec.Template.Spec.Agent = release("1")
		c.change(now.pool.Spec.Template.Spec.Agent)
		if is, err := now.identity(t).Is(has.stored(t, 1)); err != nil || is != c.want {
			t.Errorf("%s: it is the same revision: %t (%v), want %t", reason, is, err, c.want)
		}
	}
	if is, err := given().identity(t).Is(has.stored(t, 1)); is || err != nil {
		t.Errorf("without the agent it is the same revision (%v)", err)
	}
}

func release(digit string) *v1alpha1.AgentRelease {
	return &v1alpha1.AgentRelease{Version: "v0.2.0", Artifacts: []v1alpha1.Artifact{artifact("amd64", "a.example", digit), artifact("arm64", "a.example", "9")}}
}

func TestANameIsThatOfTheContentAlone(t *testing.T) {
	moved := given()
	moved.bundle.Spec.Artifacts = []v1alpha1.Artifact{artifact("amd64", "b.example", "1"), artifact("arm64", "b.example", "2")}
	moved.pool.Spec.Template.Spec.Proxy.Mode = ""
	if a, b := given().identity(t).Name(), moved.identity(t).Name(); a != b || len(a) != nameLength {
		t.Errorf("one revision is called %s and %s", a, b)
	}
	moved.infra = nil
	if name := moved.identity(t).Name(); name != "" {
		t.Errorf("without its infrastructure template it is called %s", name)
	}
}

// TestAnArchitectureIsLearnedOnce so that another digest for it later is another bundle.
func TestAnArchitectureIsLearnedOnce(t *testing.T) {
	stored, grown := given().stored(t, 1), given()
	grown.bundle.Spec.Artifacts = append(grown.bundle.Spec.Artifacts, artifact("s390x", "b.example", "3"))
	learned, err := grown.identity(t).Learn(stored)
	if err != nil || learned == nil {
		t.Fatalf("learned nothing (%v)", err)
	}
	if len(stored.Annotations) == len(learned.Annotations) || string(stored.Data.Raw) != string(learned.Data.Raw) {
		t.Error("what was stored was changed, or nothing was")
	}
	spec, err := desired.Spec(learned, nil, v1alpha1.ClusterSettings{})
	if err != nil || len(spec.Artifacts) != 3 {
		t.Errorf("its nodes have artifacts %v (%v)", spec.Artifacts, err)
	}
	if again, err := grown.identity(t).Learn(learned); again != nil || err != nil {
		t.Errorf("learned twice (%v): %v", err, again)
	}
	grown.bundle.Spec.Artifacts[2] = artifact("s390x", "b.example", "4")
	if is, err := grown.identity(t).Is(learned); is || err != nil {
		t.Errorf("another digest for it is the same revision (%v)", err)
	}
	if is, err := given().identity(t).Is(learned); !is || err != nil {
		t.Errorf("the bundle as it was is another revision (%v)", err)
	}
	grown.bundle.Spec.Artifacts = []v1alpha1.Artifact{artifact("riscv64", "b.example", "5")}
	if more, err := grown.identity(t).Learn(learned); err != nil || more == nil || strings.Count(more.Annotations[v1alpha1.ArtifactsAnnotation], "architecture") != 2 {
		t.Errorf("one learned later takes the place of one learned before (%v): %v", err, more)
	}
}

func TestOfAnEarlierDroversRevisionTheInfrastructureIsLearned(t *testing.T) {
	learned, err := given().identity(t).Learn(storedV1(t))
	if err != nil || learned == nil {
		t.Fatalf("learned nothing (%v)", err)
	}
	if is, err := given().identity(t).Is(learned); !is || err != nil {
		t.Errorf("it is another one (%v)", err)
	}
	if learned.Annotations[v1alpha1.TemplateHashAnnotation] != hashOfV1 {
		t.Error("the earlier Drover would not know it any more")
	}
	anew := given()
	anew.infra.Object["metadata"], anew.infra.Object["spec"] = map[string]any{"uid": "infra-2"}, map[string]any{"cpus": int64(4)}
	if is, err := anew.identity(t).Is(learned); is || err != nil {
		t.Errorf("with an infrastructure template made anew otherwise it is the same one (%v)", err)
	}
	if again, err := given().identity(t).Learn(learned); again != nil || err != nil {
		t.Errorf("learned twice (%v)", err)
	}
	away := given()
	away.infra = nil
	if again, err := away.identity(t).Learn(storedV1(t)); again != nil || err != nil {
		t.Errorf("learned of an infrastructure template that is away (%v)", err)
	}
}

func TestWhichOfSeveralItIs(t *testing.T) {
	of := func(number int64, list ...v1alpha1.Artifact) *appsv1.ControllerRevision {
		in := given()
		in.bundle.Spec.Artifacts = list
		return in.stored(t, number)
	}
	amd, arm := of(1, artifact("amd64", "a.example", "1")), of(2, artifact("arm64", "a.example", "2"))
	broken := of(9, artifact("amd64", "a.example", "1"))
	broken.Data.Raw = []byte("{")
	find := func(current string, list ...v1alpha1.Artifact) string {
		in := given()
		in.bundle.Spec.Artifacts = list
		found, err := in.identity(t).Find([]appsv1.ControllerRevision{*amd, *arm, *broken}, current)
		if err != nil {
			t.Fatal(err)
		}
		if found == nil {
			return "none"
		}
		return found.Labels[v1alpha1.RevisionLabel]
	}
	name := func(r *appsv1.ControllerRevision) string { return r.Labels[v1alpha1.RevisionLabel] }
	for _, test := range []struct {
		reason, got, want string
	}{
		{"the one that has the architecture", find(name(arm), artifact("amd64", "a.example", "1")), name(amd)},
		{"the current one, where both have as many", find(name(amd), artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2")), name(amd)},
		{"else the newest", find("", artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2")), name(arm)},
		{"not one with another digest", find("", artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "9")), name(amd)},
		{"none, where each has another digest", find("", artifact("amd64", "a.example", "8"), artifact("arm64", "a.example", "9")), "none"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %s, want %s", test.reason, test.got, test.want)
		}
	}
}
