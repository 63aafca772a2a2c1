package desired_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

func release(version string, artifacts ...v1alpha1.Artifact) *v1alpha1.AgentRelease {
	return &v1alpha1.AgentRelease{Version: version, Artifacts: artifacts}
}

// TestTheAgentOfARevisionIsPutBack, and one that somebody chose where the revision names none is his.
func TestTheAgentOfARevisionIsPutBack(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	amd, arm := artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2")
	own, named := release("v0.9.0", artifact("amd64", "c.example", "7")), release("v0.2.0", amd, arm)
	turned := release("v0.2.0", arm, amd)
	for _, c := range []struct {
		reason            string
		names, has, wants *v1alpha1.AgentRelease
	}{
		{"none is named, and none is there", nil, nil, nil},
		{"none is named: an administrator may choose", nil, own, own},
		{"another one was put there", named, own, named},
		{"it was taken away", named, nil, named},
		{"it is there", named, named, named},
		{"it is there, in another order", named, turned, turned},
	} {
		spec := v1alpha1.NodeAgentSpec{Revision: "abc", Version: "v1.36.5", Artifacts: []v1alpha1.Artifact{amd}}
		stored := *spec.DeepCopy()
		stored.Agent, spec.Agent = c.names.DeepCopy(), c.has.DeepCopy()
		if err := desired.Restore(t.Context(), fake.NewClientBuilder().WithScheme(scheme).Build(), &spec, revision(t, "", stored)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.wants, spec.Agent); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
	}
}

// TestANodeLeavesTheAgentOfItsRevisionBehind when the next one names none, and keeps what somebody set by hand.
func TestANodeLeavesTheAgentOfItsRevisionBehind(t *testing.T) {
	amd, arm := artifact("amd64", "a.example", "1"), artifact("arm64", "a.example", "2")
	named, own := release("v0.2.0", amd, arm), release("v0.9.0", amd)
	turned := named.DeepCopy()
	slices.Reverse(turned.Artifacts)
	for _, c := range []struct {
		reason                 string
		left, has, next, wants *v1alpha1.AgentRelease
	}{
		{"it was the revision's", named, named, nil, nil},
		{"whatever the order", named, turned, nil, nil},
		{"it was somebody's", named, own, nil, own},
		{"no revision named any", nil, own, nil, own},
		{"the next one names another", named, named, own, own},
		{"the next one names one, and somebody had set another", nil, own, named, named},
	} {
		spec := v1alpha1.NodeAgentSpec{Agent: c.has.DeepCopy()}
		desired.Leave(&spec, revision(t, "", v1alpha1.NodeAgentSpec{Agent: c.left}))
		desired.Set(&spec, v1alpha1.NodeAgentSpec{Agent: c.next})
		if diff := cmp.Diff(c.wants, spec.Agent); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
	}
	spec := v1alpha1.NodeAgentSpec{Agent: named}
	if desired.Leave(&spec, nil); spec.Agent == nil {
		t.Error("a revision that nobody knows takes its agent along")
	}
}
