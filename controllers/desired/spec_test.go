package desired_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

func artifact(architecture, registry, digit string) v1alpha1.Artifact {
	return v1alpha1.Artifact{Architecture: architecture, Image: registry + "/bundle@sha256:" + strings.Repeat(digit, 64)}
}

func revision(t *testing.T, further string, spec v1alpha1.NodeAgentSpec) *appsv1.ControllerRevision {
	t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	r := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers-abc"}, Data: runtime.RawExtension{Raw: raw}}
	if further != "" {
		r.Annotations = map[string]string{v1alpha1.ArtifactsAnnotation: further}
	}
	return r
}

func bundle(artifacts ...v1alpha1.Artifact) *v1alpha1.NodeBundle {
	return &v1alpha1.NodeBundle{Spec: v1alpha1.NodeBundleSpec{KubernetesVersion: "v1.36.5", Artifacts: artifacts}}
}

func TestTheClusterOfASpecIsTheOneGivenAndNotTheOneStored(t *testing.T) {
	stored := v1alpha1.NodeAgentSpec{
		Revision: "abc", Version: "v1.36.5", Artifacts: []v1alpha1.Artifact{artifact("amd64", "a.example", "1")},
		Cluster: v1alpha1.ClusterSettings{Server: "https://old:6443", DNSServers: []string{"10.0.0.10"}},
	}
	stored.Kubelet.MaxPods = ptr.To[int32](30)
	now := v1alpha1.ClusterSettings{Server: "https://new:6443", ServerCA: "new"}
	got, err := desired.Spec(revision(t, "", stored), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	want := stored
	want.Cluster = now
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestImagesAreWhereTheBundleHasThem(t *testing.T) {
	there := artifact("amd64", "a.example", "1")
	for _, test := range []struct {
		reason  string
		further string
		bundle  *v1alpha1.NodeBundle
		want    []v1alpha1.Artifact
	}{
		{reason: "no bundle: where they were", want: []v1alpha1.Artifact{there}},
		{reason: "moved to another registry", bundle: bundle(artifact("amd64", "b.example", "1")), want: []v1alpha1.Artifact{artifact("amd64", "b.example", "1")}},
		{
			reason: "an architecture that the bundle got since", bundle: bundle(artifact("arm64", "b.example", "2"), artifact("amd64", "b.example", "1")),
			want: []v1alpha1.Artifact{artifact("amd64", "b.example", "1"), artifact("arm64", "b.example", "2")},
		},
		{
			reason: "another digest is another bundle, whose other architectures are not ours", bundle: bundle(artifact("amd64", "b.example", "3"), artifact("arm64", "b.example", "2")),
			want: []v1alpha1.Artifact{there},
		},
		{
			reason: "an architecture taken down later is kept when the bundle is gone", further: `[{"architecture":"arm64","image":"b.example/bundle@sha256:` + strings.Repeat("2", 64) + `"}]`,
			want: []v1alpha1.Artifact{there, artifact("arm64", "b.example", "2")},
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, err := desired.Spec(revision(t, test.further, v1alpha1.NodeAgentSpec{Artifacts: []v1alpha1.Artifact{there}}), test.bundle, v1alpha1.ClusterSettings{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Artifacts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTheBundleOfARevisionIsTheOneWithItsDigests, where several have its version.
func TestTheBundleOfARevisionIsTheOneWithItsDigests(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	named := func(name string, age time.Duration, artifacts ...v1alpha1.Artifact) *v1alpha1.NodeBundle {
		b := bundle(artifacts...)
		b.Name, b.CreationTimestamp = name, metav1.NewTime(time.Unix(1_000_000, 0).Add(-age))
		return b
	}
	own := artifact("amd64", "a.example", "1")
	mended, moved := named("mended", 0, artifact("amd64", "a.example", "2")), named("moved", time.Hour, artifact("amd64", "b.example", "1"))
	movedAgain := named("again", time.Minute, artifact("amd64", "c.example", "1"), artifact("arm64", "c.example", "3"))
	elsewhere := named("elsewhere", 0, artifact("arm64", "d.example", "4"))
	another := named("another", 0, artifact("amd64", "e.example", "1"))
	another.Spec.KubernetesVersion = "v1.36.6"
	for _, c := range []struct {
		reason  string
		bundles []client.Object
		want    []v1alpha1.Artifact
	}{
		{"a mended one beside it is another one", []client.Object{mended, moved}, []v1alpha1.Artifact{artifact("amd64", "b.example", "1")}},
		{"of several copies the newest is where the images were put last", []client.Object{mended, moved, movedAgain}, movedAgain.Spec.Artifacts},
		{"the mended one took its place", []client.Object{mended}, []v1alpha1.Artifact{own}},
		{"none has its digests", []client.Object{mended, elsewhere}, []v1alpha1.Artifact{own}},
		{"the only one has another architecture", []client.Object{elsewhere}, []v1alpha1.Artifact{own, artifact("arm64", "d.example", "4")}},
		{"another version is another one", []client.Object{another}, []v1alpha1.Artifact{own}},
		{"there is none", nil, []v1alpha1.Artifact{own}},
	} {
		reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.bundles...).Build()
		stored := revision(t, "", v1alpha1.NodeAgentSpec{Version: "v1.36.5", Artifacts: []v1alpha1.Artifact{own}})
		got, err := desired.SpecOf(t.Context(), reader, stored, v1alpha1.ClusterSettings{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got.Artifacts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
	}
}

func TestSetTakesOverAllThatARevisionAndItsClusterAskFor(t *testing.T) {
	wanted := v1alpha1.NodeAgentSpec{
		Revision: "abc", Version: "v1.36.5", Artifacts: []v1alpha1.Artifact{artifact("amd64", "a.example", "1")},
		Cluster: v1alpha1.ClusterSettings{Server: "https://new:6443"},
	}
	wanted.Kubelet.MaxPods = ptr.To[int32](30)
	spec := v1alpha1.NodeAgentSpec{Revision: "old"}
	spec.Sysctls = map[string]v1alpha1.SysctlValue{"vm.swappiness": "10"}
	if desired.Set(&spec, wanted); !cmp.Equal(wanted, spec) {
		t.Error(cmp.Diff(wanted, spec))
	}
}

func TestARevisionThatCannotBeReadIsNamed(t *testing.T) {
	for _, broken := range []*appsv1.ControllerRevision{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers-abc"}, Data: runtime.RawExtension{Raw: []byte("{")}},
		revision(t, "{", v1alpha1.NodeAgentSpec{}),
	} {
		if _, err := desired.Spec(broken, nil, v1alpha1.ClusterSettings{}); err == nil || !strings.Contains(err.Error(), "ControllerRevision default/workers-abc") {
			t.Errorf("got %v", err)
		}
	}
}
