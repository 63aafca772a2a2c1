package planner

import (
	"fmt"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// DeferredDoNotDisrupt is that somebody asks that this very machine is left alone.
const DeferredDoNotDisrupt = v1alpha1.ReasonDoNotDisrupt

// maxSparedFor is how much is quoted of why somebody wants a machine left alone.
const maxSparedFor = 200

// spared says that somebody asks to leave the machine alone, on whose Node pods may be.
func (m *machine) spared() bool {
	_, annotated := m.Annotations[v1alpha1.DoNotDisruptAnnotation]
	return annotated && m.joined()
}

// sparedFor says where that is asked, and why if it is said, as a sentence.
func (m *machine) sparedFor() string {
	words := fmt.Sprintf("Machine %s is annotated %s", m.Name, v1alpha1.DoNotDisruptAnnotation)
	if why := strings.Join(strings.Fields(m.Annotations[v1alpha1.DoNotDisruptAnnotation]), " "); why != "" {
		words += fmt.Sprintf(" (%s)", v1alpha1.Shorten(why, maxSparedFor))
	}
	return words
}

// doNotDisrupt holds what disrupts a machine that somebody wants left alone, for whatever cause. To delete its pool is another word of
// the user's, and the later one.
func doNotDisrupt(l *ledger, p *Proposal) (string, string) {
	if !p.Disrupts || p.Cause == PoolDeletion {
		return "", ""
	}
	switch m := l.sparedMachines()[p.Name]; {
	case m == nil:
		return "", ""
	case l.isDeferred(p.Verb, DeferredDoNotDisrupt):
		return DeferredDoNotDisrupt, "" // Of the first it is said.
	default:
		return DeferredDoNotDisrupt, m.sparedFor()
	}
}

// sparedMachines are those that somebody wants left alone, by name.
func (l *ledger) sparedMachines() map[string]*machine {
	if l.spared == nil {
		l.spared = map[string]*machine{}
		for _, m := range l.active {
			if m.spared() {
				l.spared[m.Name] = m
			}
		}
	}
	return l.spared
}

// judgeSpared answers when nothing is left to do but what would disrupt machines that somebody wants left alone.
func judgeSpared(r *rollout, result Result, _ Outcome, t tally) *verdict {
	if t.active < t.want || t.total > t.active || len(r.waiting)+len(r.unreachable)+len(r.begunMembers())+len(result.Actions) > 0 {
		return nil
	}
	var held []string
	for _, d := range result.Deferred {
		if d.Reason == DeferredDoNotDisrupt {
			held = append(held, d.String())
		} else if d.Verb == Delete {
			return nil
		}
	}
	if len(held) == 0 {
		return nil
	}
	message := strings.Join(held, "; ") + ". Take the annotation away to go on"
	return &verdict{reason: v1alpha1.ReasonDoNotDisrupt, message: message, stalled: true}
}
