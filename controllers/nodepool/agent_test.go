package nodepool_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// agentRelease is a version of the agent whose digest is a digit all over.
func agentRelease(version, digit string) *v1alpha1.AgentRelease {
	return &v1alpha1.AgentRelease{Version: version, Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "10.88.0.1:5443/agent@" + agentDigest(digit)}}}
}

func agentDigest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func withAgent(release *v1alpha1.AgentRelease) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Agent = release }
}

// changeAgents has the agents that run the rest of what they are told change to the version that they are told, or give that up.
func (f *fleet) changeAgents(refuses string) {
	f.t.Helper()
	for _, a := range f.agents() {
		s := &a.Status
		if a.Spec.Agent == nil || s.ObservedGeneration != a.Generation || s.Phase != v1alpha1.PhaseCommitted || program(&a) == a.Spec.Agent.Version {
			continue
		}
		_, digest, _ := strings.Cut(a.Spec.Agent.Artifacts[0].Image, "@")
		was := s.Agent
		switch {
		case digest != refuses:
			s.Agent, s.AgentVersion = &v1alpha1.AgentProgram{Digest: digest}, a.Spec.Agent.Version
		case was == nil || was.Failed == nil:
			s.Agent = &v1alpha1.AgentProgram{Failed: &v1alpha1.FailedAgent{Version: a.Spec.Agent.Version, Digest: digest, Reason: v1alpha1.ReasonExited, Message: "it ended 3 times in a row", Time: metav1.Now()}}
			if was != nil {
				s.Agent.Digest = was.Digest
			}
		}
		if !equality.Semantic.DeepEqual(was, s.Agent) {
			if err := f.Client.Status().Update(f.t.Context(), &a); ignoreConflict(client.IgnoreNotFound(err)) != nil {
				f.t.Fatal(err)
			}
		}
	}
}

func program(a *v1alpha1.NodeAgent) string {
	if a.Status.Agent == nil {
		return ""
	}
	return a.Status.AgentVersion
}

// agentsAre checks which version each node is told to have; "" for none.
func (f *fleet) agentsAre(want ...string) error {
	var told []string
	for _, a := range f.agents() {
		version := ""
		if a.Spec.Agent != nil {
			version = a.Spec.Agent.Version
		}
		told = append(told, version)
	}
	if !equality.Semantic.DeepEqual(told, want) {
		return fmt.Errorf("the agents are to be %q, want %q", told, want)
	}
	return nil
}

// TestAnAgentRollsThroughThePool, a node at a time, and back where it does not prove itself. What the template does not name is
// somebody else's to set.
func TestAnAgentRollsThroughThePool(t *testing.T) {
	f := startFleet(t, "agents", 2)
	setAgent := func(release *v1alpha1.AgentRelease) {
		a := f.agents()[0]
		update(f.site, &a, func(a *v1alpha1.NodeAgent) { a.Spec.Agent = release })
	}
	rolls := func(what, refuses string, over func() error) {
		t.Helper()
		f.eventually(what, func() error {
			var changing []string
			for _, a := range f.agents() {
				if named := f.pool.Spec.Template.Spec.Agent; named != nil && a.Spec.Agent != nil && a.Spec.Agent.Version == named.Version && program(&a) != named.Version {
					changing = append(changing, a.Name)
				}
			}
			if len(changing) > 1 {
				t.Fatalf("%v are given the agent at once", changing)
			}
			f.play()
			f.changeAgents(refuses)
			return over()
		})
	}
	setAgent(agentRelease("v0.1.0", "1"))
	update(f.site, f.pool, maxPods(40))
	rolls("a template without an agent", "", func() error { return f.updated(2) })
	if err := f.agentsAre("v0.1.0", ""); err != nil {
		t.Errorf("what somebody set is not kept: %v", err)
	}
	update(f.site, f.pool, withAgent(agentRelease("v0.2.0", "2")))
	rolls("an agent", "", func() error { return f.updated(2) })
	good := f.pool.Status.Revision
	if err := f.agentsAre("v0.2.0", "v0.2.0"); err != nil {
		t.Error(err)
	}
	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		p.Spec.Rollout.OnFailure = v1alpha1.RolloutOnFailureRollback
		withAgent(agentRelease("v0.3.0", "3"))(p)
	})
	rolls("one that does not prove itself", agentDigest("3"), func() error {
		if err := f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonRolledBack); err != nil {
			return err
		}
		if s := f.pool.Status; s.Rollout.Phase != v1alpha1.RolloutPhaseRolledBack || len(s.Updating) > 0 {
			return fmt.Errorf("it is in %s, and changes %v", s.Rollout.Phase, s.Updating)
		}
		return f.agentsAre("v0.2.0", "v0.2.0")
	})
	message := meta.FindStatusCondition(f.pool.Status.Conditions, v1alpha1.StalledCondition).Message
	if failed := f.pool.Status.Rollout.Failed; failed.PreviousRevision != good || !strings.Contains(message, "agent v0.3.0: Exited: it ended 3 times in a row") {
		t.Errorf("given up is %+v, and the pool says %q", failed, message)
	}
	update(f.site, f.pool, withAgent(nil))
	rolls("the template without it again", "", func() error { return f.updated(2) })
	if err := f.agentsAre("", ""); err != nil {
		t.Errorf("the agent of a revision stays behind: %v", err)
	}
}
