package join_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// addRevision stores another revision of a pool, with other settings.
func (c *cluster) addRevision(t *testing.T, pool *v1alpha1.NodePool, name string, edit func(*v1alpha1.NodeAgentSpec)) {
	t.Helper()
	revision := &appsv1.ControllerRevision{}
	must(t, c.Client.Get(t.Context(), client.ObjectKey{Namespace: pool.Namespace, Name: v1alpha1.RevisionName(pool.Name, "abc")}, revision))
	spec := v1alpha1.NodeAgentSpec{}
	must(t, json.Unmarshal(revision.Data.Raw, &spec))
	spec.Revision = name
	edit(&spec)
	raw, err := json.Marshal(spec)
	must(t, err)
	another := &appsv1.ControllerRevision{Revision: 2}
	another.Namespace, another.Name, another.Labels = pool.Namespace, v1alpha1.RevisionName(pool.Name, name), revision.Labels
	another.Data.Raw = raw
	must(t, c.Client.Create(t.Context(), another))
}

// wantNodeAgent waits until the machine's NodeAgent is as it should be.
func (m *machine) wantNodeAgent(t *testing.T, what string, check func(*v1alpha1.NodeAgent) error) *v1alpha1.NodeAgent {
	t.Helper()
	agent := &v1alpha1.NodeAgent{}
	eventually(t, what, func(ctx context.Context) error {
		agent = &v1alpha1.NodeAgent{}
		if err := m.Client.Get(ctx, client.ObjectKey{Name: m.object.Name}, agent); err != nil {
			return err
		}
		return check(agent)
	})
	return agent
}

// aNodeAgentThatSomebodyDeletedAsksForTheSame as before, and not for what its Machine was made from.
func aNodeAgentThatSomebodyDeletedAsksForTheSame(t *testing.T, c *cluster) {
	pool := c.newPool(t, "deleted")
	c.addRevision(t, pool, "def", func(s *v1alpha1.NodeAgentSpec) { s.Kubelet.MaxPods = ptr.To[int32](60) })
	m := c.newMachine(t, pool, 0)
	first := m.wantNodeAgent(t, "it asks for what the Machine was made from", func(a *v1alpha1.NodeAgent) error {
		if a.Spec.Revision != "abc" {
			return fmt.Errorf("it asks for %s", a.Spec.Revision)
		}
		return nil
	})
	m.status(t, func(s *clusterv1.MachineStatus) { s.NodeRef.Name = m.object.Name })
	eventually(t, "the manager knows that it joined", func(ctx context.Context) error {
		seen := &clusterv1.Machine{}
		if err := c.cache.Get(ctx, client.ObjectKeyFromObject(m.object), seen); err != nil || !seen.Status.NodeRef.IsDefined() {
			return errNotYet
		}
		return nil
	})
	patch := client.MergeFrom(m.object.DeepCopy())
	m.object.Annotations = map[string]string{v1alpha1.ToldRevisionAnnotation: "def"}
	must(t, c.Client.Patch(t.Context(), m.object, patch))
	must(t, c.Client.Delete(t.Context(), first))
	m.wantNodeAgent(t, "it is made anew with what the node was told last", func(a *v1alpha1.NodeAgent) error {
		if a.UID == first.UID {
			return errNotYet
		}
		if a.Spec.Revision != "def" || ptr.Deref(a.Spec.Kubelet.MaxPods, 0) != 60 || a.Spec.Cluster.ServerCA != "x" {
			return fmt.Errorf("it asks for %+v", a.Spec)
		}
		return nil
	})
}

// whatSomebodyEditedInANodeAgentIsPutBack, and what the API server adds to it or others may set is not taken for that.
func whatSomebodyEditedInANodeAgentIsPutBack(t *testing.T, c *cluster) {
	pool := c.newPool(t, "edited")
	m := c.newMachine(t, pool, 0)
	there := func(*v1alpha1.NodeAgent) error { return nil }
	edit := func(change func(*v1alpha1.NodeAgent)) *v1alpha1.NodeAgent {
		agent := m.wantNodeAgent(t, "it is there", there)
		patch := client.MergeFrom(agent.DeepCopy())
		change(agent)
		must(t, c.Client.Patch(t.Context(), agent, patch))
		return agent
	}
	first := m.wantNodeAgent(t, "it is there", there)
	release := &v1alpha1.AgentRelease{Version: "v0.9.0", Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "a.example/agent@sha256:" + strings.Repeat("b", 64)}}}
	edited := edit(func(a *v1alpha1.NodeAgent) {
		a.Spec.Kubelet.MaxPods, a.Spec.Version, a.Spec.Agent = ptr.To[int32](7), "v1.35.0", release
		a.Spec.Artifacts[0].Image = "a.example/bundle@sha256:" + strings.Repeat("f", 64)
	})
	restored := m.wantNodeAgent(t, "it asks for what its revision does", func(a *v1alpha1.NodeAgent) error {
		if a.Generation <= edited.Generation || !equality.Semantic.DeepEqual(a.Spec.NodeSettings, first.Spec.NodeSettings) || a.Spec.Version != first.Spec.Version {
			return fmt.Errorf("generation %d asks for %+v", a.Generation, a.Spec)
		}
		return nil
	})
	if diff := cmp.Diff(first.Spec.Artifacts, restored.Spec.Artifacts); diff != "" || !equality.Semantic.DeepEqual(restored.Spec.Agent, release) {
		t.Errorf("its bundle (-want +got):\n%s\nits agent, which an administrator may choose: %+v", diff, restored.Spec.Agent)
	}
	m.wantEvent(t, v1alpha1.ReasonNodeAgentRestored, "NodeAgent "+first.Name+" what is not as revision abc has it: version, artifacts, kubelet.maxPods. Change the pool's template instead")

	edit(func(a *v1alpha1.NodeAgent) {
		delete(a.Labels, v1alpha1.PoolUIDLabel)
		delete(a.Labels, v1alpha1.PoolNamespaceLabel)
	})
	m.wantNodeAgent(t, "it has its labels again", func(a *v1alpha1.NodeAgent) error {
		if diff := cmp.Diff(first.Labels, a.Labels); diff != "" {
			return errors.New(diff)
		}
		return nil
	})

	// Another revision is not for this controller to take back: the node may have to be drained for it.
	c.addRevision(t, pool, "def", func(s *v1alpha1.NodeAgentSpec) { s.Kubelet.MaxPods = ptr.To[int32](60) })
	edit(func(a *v1alpha1.NodeAgent) { a.Spec.Revision = "def"; a.Spec.Kubelet.MaxPods = ptr.To[int32](8) })
	c.wantLookedAt(t, m)
	if last := m.nodeAgent(t); last.Spec.Revision != "def" || ptr.Deref(last.Spec.Kubelet.MaxPods, 0) != 8 {
		t.Errorf("it was made to ask for %+v", last.Spec)
	}
	for path, times := range c.writes.of("PATCH /apis/fleet.drover.dev/v1alpha1/nodeagents/" + m.object.Name) {
		if times != 2 {
			t.Errorf("%s was done %d times; want once for the spec and once for the labels", path, times)
		}
	}
}

// wantLookedAt waits until the manager has looked at a machine after its NodeAgent was written last.
func (c *cluster) wantLookedAt(t *testing.T, m *machine) {
	t.Helper()
	must(t, report(t.Context(), c.Client, m.object.Name, "False", v1alpha1.ReasonPreflightFailed))
	m.wantHealth(t, "False", v1alpha1.ReasonPreflightFailed)
}

// whatTheAPIServerAddsIsNoEdit that is put back each time: a revision that an earlier Drover stored lacks what was given a default since.
func whatTheAPIServerAddsIsNoEdit(t *testing.T, c *cluster) {
	pool := c.newPool(t, "bare")
	c.addRevision(t, pool, "bare", func(s *v1alpha1.NodeAgentSpec) { s.NodeSettings = v1alpha1.NodeSettings{} })
	m := c.newMachine(t, pool, 0, func(m *clusterv1.Machine) { m.Labels[v1alpha1.RevisionLabel] = "bare" })
	agent := m.wantNodeAgent(t, "it has what the API server adds", func(a *v1alpha1.NodeAgent) error {
		if a.Spec.Proxy.Mode == "" {
			return errNotYet
		}
		return nil
	})
	path := "PATCH /apis/fleet.drover.dev/v1alpha1/nodeagents/" + m.object.Name
	look := func() int {
		for _, reason := range []string{v1alpha1.ReasonBundleFetchFailed, v1alpha1.ReasonPreflightFailed} {
			must(t, report(t.Context(), c.Client, m.object.Name, "False", reason))
			m.wantHealth(t, "False", reason)
		}
		return c.writes.of(path)[path]
	}
	if before, after := look(), look(); before != after {
		t.Errorf("it is written each time that it is looked at: %d times, then %d", before, after)
	}
	if last := m.nodeAgent(t); last.Generation != agent.Generation || last.Spec.Proxy.Mode != agent.Spec.Proxy.Mode {
		t.Errorf("generation %d asks for %+v", last.Generation, last.Spec)
	}
}
