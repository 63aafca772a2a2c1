package join_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// otherFactsReachAllNodes changes the cluster's authority, as its rotation does, after two pools' revisions were made.
func otherFactsReachAllNodes(t *testing.T, c *cluster) {
	t.Helper()
	pool, paused := c.newPool(t, "rotated"), c.newPool(t, "paused")
	before, joined, held := c.newMachine(t, pool, 0), c.newMachine(t, pool, 3), c.newMachine(t, paused, 0)
	for _, m := range []*machine{before, joined, held} {
		m.wantServerCA(t, "x")
	}
	pause := func(on bool) {
		patch := client.MergeFrom(paused.DeepCopy())
		paused.Spec.Paused = ptr.To(on)
		must(t, c.Client.Patch(t.Context(), paused, patch))
	}
	pause(true)
	t.Cleanup(func() { c.facts.set(func(s *v1alpha1.ClusterSettings) { s.ServerCA = "x" }, nil) })
	was, first := before.nodeAgent(t), before.bootstrap(t)

	// What could not be found out as a whole reaches nobody, and is said where a machine waits for it.
	c.facts.set(func(s *v1alpha1.ClusterSettings) { s.ServerCA = "half of it" }, errors.New("no authority: set --server-ca-file"))
	waiting := c.newMachine(t, pool, 1)
	waiting.wantHealth(t, "False", v1alpha1.ReasonDiscoveryFailed)
	waiting.wantEvent(t, v1alpha1.ReasonDiscoveryFailed, "set --server-ca-file")
	must(t, report(t.Context(), c.Client, joined.object.Name, "False", v1alpha1.ReasonPreflightFailed))
	joined.wantHealth(t, "False", v1alpha1.ReasonPreflightFailed) // so it was looked at
	if got := joined.nodeAgent(t); got.Spec.Cluster.ServerCA != "x" || got.Generation != 1 {
		t.Errorf("facts that are not all known were written: generation %d has %+v", got.Generation, got.Spec.Cluster)
	}

	c.facts.set(func(s *v1alpha1.ClusterSettings) { s.ServerCA = "rotated" }, nil)
	before.wantServerCA(t, "rotated")
	joined.wantServerCA(t, "rotated")
	is := before.nodeAgent(t)
	if is.Spec.Revision != was.Spec.Revision || is.Generation != was.Generation+1 {
		t.Errorf("from revision %s, generation %d, to revision %s, generation %d: want one change, and the same revision",
			was.Spec.Revision, was.Generation, is.Spec.Revision, is.Generation)
	}

	// One that has not joined yet finds it in its bootstrap Secret, beside the token and the taints that it had.
	eventually(t, "the bootstrap Secret of the machine that waits has the authority", func(context.Context) error {
		if got := before.bootstrap(t); got.Spec.Cluster.ServerCA != "rotated" || got.Token != first.Token || len(got.Taints) != len(first.Taints) || got.Spec.Revision != "abc" {
			return fmt.Errorf("it has %+v", got)
		}
		return nil
	})

	// A machine made after it, from the revision made before it, gets what it needs to join.
	after := c.newMachine(t, pool, 2)
	after.wantServerCA(t, "rotated")
	if got := after.bootstrap(t).Spec.Cluster; got.ServerCA != "rotated" || got.Server != "https://10.88.0.1:6443" {
		t.Errorf("its bootstrap Secret has %+v", got)
	}
	after.token(t)
	waiting.wantServerCA(t, "rotated")

	if got := held.nodeAgent(t).Spec.Cluster.ServerCA; got != "x" {
		t.Errorf("the node of a paused pool was given %q", got)
	}
	pause(false)
	held.wantServerCA(t, "rotated")
	for path, times := range c.writes.of("PATCH /apis/fleet.drover.dev/v1alpha1/nodeagents/" + before.object.Name) {
		if times != 1 {
			t.Errorf("%s was done %d times", path, times)
		}
	}
}

func (m *machine) nodeAgent(t *testing.T) *v1alpha1.NodeAgent {
	t.Helper()
	agent := &v1alpha1.NodeAgent{}
	must(t, m.Client.Get(t.Context(), client.ObjectKey{Name: m.object.Name}, agent))
	return agent
}

func (m *machine) wantServerCA(t *testing.T, want string) {
	t.Helper()
	eventually(t, "the NodeAgent of "+m.object.Name+" has the authority "+want, func(ctx context.Context) error {
		agent := &v1alpha1.NodeAgent{}
		if err := m.Client.Get(ctx, client.ObjectKey{Name: m.object.Name}, agent); err != nil {
			return err
		}
		if got := agent.Spec.Cluster.ServerCA; got != want {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}

func (m *machine) bootstrap(t *testing.T) (b node.Bootstrap) {
	t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: m.pool.Namespace, Name: m.object.Name + v1alpha1.BootstrapSecretSuffix}
	eventually(t, "the bootstrap Secret exists", func(ctx context.Context) error { return m.Client.Get(ctx, key, secret) })
	must(t, json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], &b))
	return b
}
