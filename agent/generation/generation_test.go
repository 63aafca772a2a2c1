package generation

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func document() *node.Bootstrap {
	b := &node.Bootstrap{NodeName: "node-1", ProviderID: "drover-local://default/node-1", Token: "abcdef.0123456789abcdef"}
	b.Spec.Revision, b.Spec.Cluster.Server = "r1", "https://10.88.0.1:6443"
	return b
}

func TestTheFirstIsTheBootstrapDocuments(t *testing.T) {
	if g := First(document()); g.Spec.Revision != "r1" || g.ObservedGeneration != 0 || g.Token != "" {
		t.Errorf("got %s with token %q", g, g.Token)
	}
}

func TestTheAgentsOwnVersionIsNoPartOfAGeneration(t *testing.T) {
	b := document()
	b.Spec.Agent = &v1alpha1.AgentRelease{Version: "v2"}
	first := First(b)
	next := first.Next(&v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: b.Spec})
	if first.ID() != First(document()).ID() || !Same(first, next) || next.ObservedGeneration != 2 {
		t.Error("another version of the agent would restart components")
	}
	if b.Spec.Agent == nil {
		t.Error("it is gone from where it was read")
	}
}

func TestTheImageIsTheOneForTheArchitecture(t *testing.T) {
	g := &Generation{}
	g.Spec = v1alpha1.NodeAgentSpec{Version: "v1.36.3", Artifacts: []v1alpha1.Artifact{{Architecture: "arm64", Image: "r/a@sha256:1"}, {Architecture: "amd64", Image: "r/b@sha256:2"}}}
	if got, err := g.Image("amd64"); err != nil || got != "r/b@sha256:2" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := g.Image("riscv64"); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v, want an error that names the architecture", err)
	}
}

func TestTheMachineThatANodeAgentIsOfIsRemembered(t *testing.T) {
	of := func(machine string) *v1alpha1.NodeAgent {
		return &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.MachineUIDLabel: machine}}}
	}
	g := &Generation{}
	if g = g.Next(of("m")); g.MachineUID != "m" {
		t.Errorf("got %q", g.MachineUID)
	}
	if g = g.Next(of("other")); g.MachineUID != "m" {
		t.Errorf("another Machine's took over: %q", g.MachineUID)
	}
}

func TestTheIDIsOfWhatIsAskedForAlone(t *testing.T) {
	g := First(document())
	if again := g.At("10.0.0.1", 1500).ID(); again != g.ID() {
		t.Errorf("%s became %s with an address", g.ID(), again)
	}
	next := g.Next(&v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: g.Spec})
	if next.ID() != g.ID() {
		t.Errorf("%s became %s with another generation of the same", g.ID(), next.ID())
	}
	if facts := withServer(g, "https://10.88.0.2:6443"); facts.ID() == g.ID() {
		t.Error("one revision with other facts of the cluster has the same ID")
	}
	if next.Spec.Revision = "r2"; next.ID() == g.ID() {
		t.Error("two that ask for different things have one ID")
	}
}

// withServer is g with another fact of the cluster.
func withServer(g *Generation, server string) *Generation {
	n := *g
	n.Spec = *g.Spec.DeepCopy()
	n.Spec.Cluster.Server = server
	return &n
}

func TestOneRevisionWithOtherFactsOfTheClusterIsAGenerationOfItsOwn(t *testing.T) {
	old := First(document())
	facts := withServer(old, "https://10.88.0.2:6443")
	more := withServer(old, "https://10.88.0.3:6443")
	wantPhase := func(s State, wanted *Generation, up bool, want v1alpha1.NodeAgentPhase) {
		t.Helper()
		if got := s.Phase(wanted, up); got != want {
			t.Errorf("got phase %s, want %s", got, want)
		}
	}
	state := State{Good: old, Previous: "r0"}
	wantPhase(state, facts, true, v1alpha1.PhaseStaging)
	state = state.begun(facts)
	wantPhase(state, facts, false, v1alpha1.PhaseActivating)
	wantPhase(state, facts, true, v1alpha1.PhaseProbation)

	failed := state.RolledBack(Failure{})
	if failed.Good != old || failed.Failed.Revision != "r1" || failed.Previous != "r0" {
		t.Errorf("after a rollback it is %+v, want what ran before", failed)
	}
	wantPhase(failed, facts, true, v1alpha1.PhaseRolledBack)
	wantPhase(failed, old, true, v1alpha1.PhaseCommitted)
	wantPhase(failed, more, true, v1alpha1.PhaseStaging)

	tried := failed.begun(more)
	state = tried.committed()
	wantPhase(state, more, true, v1alpha1.PhaseCommitted)
	if state.Good != more || state.Previous != "r0" {
		t.Errorf("the revision before is %q, want that before this one", state.Previous)
	}
	if state.Failed != nil {
		t.Errorf("a revision that runs is called failed: %+v", state.Failed)
	}
}
