package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

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
}

// Kept is what the machine is configured for, nil on a machine that never was.
func (s *State) Kept() *Generation {
	if s.Candidate != nil {
		return s.Candidate
	}
	return s.Good
}

// Denies says whether a generation was rolled back and nothing else was wanted since.
func (s *State) Denies(g *Generation) bool {
	return s.Failed != nil && s.Failed.Denied && s.Failed.ID == g.ID()
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
	next := State{Good: s.Candidate, Failed: s.Failed}
	if s.Failed != nil && s.Failed.ID == s.Candidate.ID() {
		next.Failed = nil // it was not the generation's fault
	}
	if s.Good != nil {
		next.Previous = s.Good.Spec.Revision
	}
	return next
}

// rolledBack is the state when the candidate has not.
func (s *State) rolledBack(why Failure) State {
	why.ID, why.Revision, why.Denied = s.Candidate.ID(), s.Candidate.Spec.Revision, true
	return State{Good: s.Good, Previous: s.Previous, Failed: &why}
}

// allowed is the state when something else is wanted than what was rolled back.
func (s *State) allowed() State {
	next := *s
	failed := *s.Failed
	failed.Denied = false
	next.Failed = &failed
	return next
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

// digest is the ID of what a generation asks for, as it is on disk.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
