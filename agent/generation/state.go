package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Failure is why a generation was rolled back.
type Failure struct {
	// ID is the generation's, and Revision what its NodeAgent calls it.
	ID       string `json:"id"`
	Revision string `json:"revision"`
	// Reason is a condition's. Component is what did not come up, empty where that is not one component's fault.
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Component string `json:"component,omitempty"`
	// Exit is how the component ended last, nil where it did not.
	Exit *v1alpha1.ComponentExit `json:"exit,omitempty"`
	Time metav1.Time             `json:"time"`
	// Denied says that the generation is not tried again: it is until something else is wanted.
	Denied bool `json:"denied,omitempty"`
	// Request is what the revision asked for, whatever the facts of the cluster. It is empty where those alone were other ones
	// than what was gone back to has: then it is by them that it failed.
	Request string `json:"request,omitempty"`
}

// State is where a machine is between its generations, as it is in the journal.
type State struct {
	// Good is the generation that proved itself last, nil until one has.
	Good *Generation
	// Candidate is the one that was activated since and has yet to prove itself, nil for none.
	Candidate *Generation
	// Attempts is how many times an agent has begun to activate the candidate.
	Attempts int
	// Previous is the revision that was good before Good, empty for none.
	Previous string
	// Failed is what was rolled back last, nil for nothing.
	Failed *Failure
	// FailedFacts is why the good generation does not go by other facts of the cluster while the revision of Failed is wanted and
	// denied, nil while nothing is known against that.
	FailedFacts *Failure
}

// Kept is what the machine is configured for, nil on a machine that never was.
func (s *State) Kept() *Generation {
	if s.Candidate != nil {
		return s.Candidate
	}
	return s.Good
}

// Denies says whether a generation was rolled back and nothing else was wanted since. Where its revision failed, the same one with
// other facts of the cluster is nothing else: a node that was drained for it may have pods by now, and facts change by themselves.
// Where it failed by facts, other ones are.
func (s *State) Denies(g *Generation) bool {
	f := s.Failed
	switch {
	case f == nil || !f.Denied:
		return false
	case f.Request != "":
		return f.Request == g.request()
	default:
		return f.ID == g.ID()
	}
}

// Target is what the machine is to be brought to where a generation is wanted. In the place of a revision that is denied it is the
// good one, with the facts of the cluster as they are wanted, unless that did not work out either.
func (s *State) Target(wanted *Generation) *Generation {
	if s.Good == nil || !s.Denies(wanted) {
		return wanted
	}
	if s.Failed.Request == "" {
		return s.Good
	}
	target := s.Good.with(wanted.Spec.Cluster)
	if s.isGood(target) || s.failedBy(target) {
		return s.Good
	}
	return target
}

// failedBy says whether the good generation went back from the facts of another one.
func (s *State) failedBy(g *Generation) bool {
	return s.FailedFacts != nil && s.FailedFacts.ID == g.ID()
}

// with is g with other facts of the cluster.
func (g *Generation) with(facts v1alpha1.ClusterSettings) *Generation {
	n := *g
	n.Spec = *g.Spec.DeepCopy()
	n.Spec.Cluster = *facts.DeepCopy()
	return &n
}

// isGood says whether a generation has proved itself last.
func (s *State) isGood(g *Generation) bool { return s.Good != nil && Same(s.Good, g) }

// retreat says whether there is a generation to go back to from the candidate.
func (s *State) retreat() bool { return s.Candidate != nil && s.Good != nil }

// configured is the state when the machine is configured for a generation. What was good stays so until its successor has
// proved itself.
func (s *State) configured(g *Generation) State {
	next := *s
	switch {
	case s.isGood(g):
		next.Good, next.Candidate, next.Attempts = g, nil, 0
	case s.Candidate != nil && Same(s.Candidate, g):
		next.Candidate = g
	default:
		next.Candidate, next.Attempts = g, 0
	}
	return next
}

// begun is the state when an agent begins to configure the machine for a generation.
func (s *State) begun(g *Generation) State {
	next := s.configured(g)
	if next.Candidate != nil {
		next.Attempts++
	}
	return next
}

// committed is the state when the candidate has proved itself.
func (s *State) committed() State {
	next := State{Good: s.Candidate, Failed: s.Failed} // the facts that it goes by have not failed
	revision := s.Candidate.Spec.Revision
	if s.Failed != nil && s.Failed.Revision == revision {
		next.Failed = nil // it was not the revision's fault
	}
	switch {
	case s.Good == nil:
	case s.Good.Spec.Revision == revision: // with other facts of the cluster
		next.Previous = s.Previous
	default:
		next.Previous = s.Good.Spec.Revision
	}
	return next
}

// RolledBack is the state when the candidate has not.
func (s *State) RolledBack(why Failure) State {
	why.ID, why.Revision, why.Denied = s.Candidate.ID(), s.Candidate.Spec.Revision, true
	next := State{Good: s.Good, Previous: s.Previous, Failed: s.Failed, FailedFacts: s.FailedFacts}
	request := s.Candidate.request()
	switch facts := request == s.Good.request(); {
	case facts && s.Failed != nil && s.Failed.Denied && s.Failed.Request != "":
		next.FailedFacts = &why
	case facts:
		next.Failed, next.FailedFacts = &why, nil
	default:
		why.Request = request
		next.Failed, next.FailedFacts = &why, nil
	}
	return next
}

// allows says whether what was wanted lifts what is denied: something else does, whether other facts or another revision.
func (s *State) allows(wanted *Generation) bool {
	switch {
	case s.Failed == nil || !s.Failed.Denied:
		return false
	case !s.Denies(wanted):
		return true
	default:
		return s.FailedFacts != nil && s.Good != nil && !s.failedBy(s.Good.with(wanted.Spec.Cluster))
	}
}

// allowed is the state when something else is wanted than what was rolled back.
func (s *State) allowed(wanted *Generation) State {
	next := *s
	next.FailedFacts = nil
	if !s.Denies(wanted) {
		failed := *s.Failed
		failed.Denied = false
		next.Failed = &failed
	}
	return next
}

// Refusal is why what is wanted is denied, in words. Of two reasons each has half of what a message may have.
func (s *State) Refusal() string {
	if s.FailedFacts == nil {
		return s.Failed.Message
	}
	const between, each = "; nor did the node work with the facts of the cluster as they are now: ", (v1alpha1.MaxMessage - 100) / 2
	return v1alpha1.Shorten(s.Failed.Message, each) + between + v1alpha1.Shorten(s.FailedFacts.Message, each)
}

// Phase is how far the wanted generation is, given what runs.
func (s *State) Phase(wanted *Generation, up bool) v1alpha1.NodeAgentPhase {
	switch kept := s.Kept(); {
	case s.Denies(wanted):
		return v1alpha1.PhaseRolledBack
	case kept == nil || !Same(kept, wanted):
		return v1alpha1.PhaseStaging
	case s.Candidate != nil && !up:
		return v1alpha1.PhaseActivating
	case s.Candidate != nil:
		return v1alpha1.PhaseProbation
	default:
		return v1alpha1.PhaseCommitted
	}
}

// ID is a name for what a generation asks for: the same for two that ask for the same.
func (g *Generation) ID() string { return digest(g.encode()) }

// encode is what a generation asks for, as it is on disk.
func (g *Generation) encode() []byte {
	data, err := json.Marshal(content{NodeName: g.NodeName, ProviderID: g.ProviderID, Taints: g.Taints, Spec: g.Spec})
	if err != nil {
		panic(fmt.Sprintf("encode a generation: %v", err)) // what came from JSON goes to it
	}
	return data
}

// request is a name for what a generation asks for, whatever its facts of the cluster and wherever its bundle is.
func (g *Generation) request() string {
	spec := g.Spec.DeepCopy()
	spec.Cluster = v1alpha1.ClusterSettings{}
	for i, a := range spec.Artifacts {
		spec.Artifacts[i].Image = a.Image[strings.LastIndex(a.Image, "@")+1:]
	}
	n := *g
	n.Spec = *spec
	return n.ID()
}

// digest is the ID of what a generation asks for, as it is on disk.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
