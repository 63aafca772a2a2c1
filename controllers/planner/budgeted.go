package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner/budget"
)

// disruptionReasons are the causes that budgets hold, by the reason that these know them by. That somebody deletes a pool is his word,
// and held by none.
var disruptionReasons = map[Cause]v1alpha1.DisruptionReason{
	Rollout:   v1alpha1.DisruptionUpdate,
	ScaleDown: v1alpha1.DisruptionScaleDown,
	Repair:    v1alpha1.DisruptionRepair,
	Expiry:    v1alpha1.DisruptionExpiry,
	Refresh:   v1alpha1.DisruptionRefresh,
}

// spending is what a pool's budgets allow at present, and which machines use it up.
type spending struct {
	allowed map[v1alpha1.DisruptionReason]budget.Allowance
	// nodes is how many there are, of which percentages are.
	nodes int
	// used are the machines that are disrupted or unavailable, for whatever reason.
	used map[string]bool
	// free are the machines that nothing can be disrupted on any more: those that never worked, and those whose change has begun, which
	// is brought to its end.
	free map[string]bool
}

func newSpending(f *fleet) *spending {
	s := &spending{allowed: f.budgets.At(f.Now, len(f.Machines)), nodes: len(f.Machines), used: map[string]bool{}, free: map[string]bool{}}
	for _, m := range f.leaving {
		if m.joined() {
			s.used[m.Name] = true
		}
	}
	for _, m := range f.active {
		switch {
		case !m.joined(), m.unproven():
			s.free[m.Name] = true
		case m.begun && !f.rollout.isOver(m):
			s.used[m.Name], s.free[m.Name] = true, true
		case !m.available && (m.agent == nil || !m.comingUp()):
			s.used[m.Name] = true
		}
	}
	return s
}

// overBudget lets what disrupts a node begin only while the pool's budgets allow for one more that is disrupted. One that is not
// available anyway, or is disrupted already, is none more; but a budget of none holds it as well. Nor is a machine made in the place of
// another before that may go.
func overBudget(l *ledger, p *Proposal) (string, string) {
	reason := disruptionReasons[p.Cause]
	if !p.Disrupts && p.Verb != Create || reason == "" || len(l.budgets)+len(l.badBudgets) == 0 {
		return "", ""
	}
	if len(l.badBudgets) > 0 {
		return DeferredBudgetsInvalid, l.badBudgets[0]
	}
	s := l.spending()
	allowed, speaks := s.allowed[reason]
	switch {
	case !speaks, s.free[p.Name], allowed.Nodes > 0 && s.used[p.Name], allowed.Nodes > len(s.used):
		return "", ""
	case p.Verb == Create && allowed.Nodes > 0 && s.hasAny(l.replacement.due):
		return "", "" // One of those that it is made for is no further one.
	case l.isDeferred(p.Verb, DeferredBudget):
		return DeferredBudget, "" // What the first waits for is said.
	default:
		return DeferredBudget, s.why(allowed)
	}
}

// hasAny says that one of these machines is among those that use the budgets up.
func (s *spending) hasAny(machines []*machine) bool {
	return slices.ContainsFunc(machines, func(m *machine) bool { return s.used[m.Name] })
}

// why says which budget is used up, and by what.
func (s *spending) why(allowed budget.Allowance) string {
	which := fmt.Sprintf("%s[%d]", budget.Field, allowed.Index)
	if !allowed.Until.IsZero() {
		which += ", until " + allowed.Until.UTC().Format(time.RFC3339) + ","
	}
	if allowed.Nodes == 0 {
		return which + " allows no node to be disrupted"
	}
	return fmt.Sprintf("%s allows %d of %s to be disrupted at one time, and %s: %s", which, allowed.Nodes, counted(s.nodes, "node", "nodes"),
		counted(len(s.used), "is, or is not available", "are, or are not available"), strings.Join(sample(slices.Sorted(maps.Keys(s.used))), ", "))
}

// spend notes that a node is disrupted by this plan.
func (l *ledger) spend(p *Proposal) {
	if p.Disrupts && len(l.budgets) > 0 && !l.spending().free[p.Name] {
		l.spending().used[p.Name] = true
	}
}

func (l *ledger) spending() *spending {
	if l.spent == nil {
		l.spent = newSpending(l.fleet)
	}
	return l.spent
}

// untilBudgetsChange is how long what the budgets allow stays as it is; zero for always.
func (f *fleet) untilBudgetsChange() time.Duration {
	until := f.budgets.Until(f.Now)
	if until.IsZero() {
		return 0
	}
	return until.Sub(f.Now)
}

// budgetStatus says what the pool's budgets allow, and what of it is used since a plan was applied; nothing of a pool without.
func budgetStatus(status *v1alpha1.NodePoolDisruption, f *fleet, result Result, outcome Outcome) *v1alpha1.NodePoolDisruption {
	if len(f.budgets) == 0 {
		return status
	}
	if status == nil {
		status = &v1alpha1.NodePoolDisruption{}
	}
	s := newSpending(f)
	for _, name := range result.Updating {
		s.used[name] = true
	}
	for _, deleted := range outcome.Deleted {
		if !s.free[deleted.Name] {
			s.used[deleted.Name] = true
		}
	}
	status.Used = int32Pointer(len(s.used))
	for _, reason := range budget.Reasons {
		if allowed, speaks := s.allowed[reason]; speaks {
			status.Allowed = append(status.Allowed, v1alpha1.AllowedDisruption{Reason: string(reason), Nodes: int32Pointer(allowed.Nodes)})
		}
	}
	return status
}

// saysOverBudget says what machines that go wait for where that is a budget, or that somebody wants them left alone, as the end of a sentence.
func saysOverBudget(result Result) string {
	for _, d := range result.Deferred {
		if d.Verb == Delete && (d.Reason == DeferredBudget || d.Reason == DeferredDoNotDisrupt) {
			return fmt.Sprintf("; %s: %s", counted(d.Count, "waits", "wait"), d.Message)
		}
	}
	return ""
}

// judgeBudgets answers when it is not clear what the pool's budgets allow, so that no node is disrupted.
func judgeBudgets(f *rollout, _ Result, _ Outcome, _ tally) *verdict {
	if len(f.badBudgets) == 0 || f.deleting() {
		return nil
	}
	message := strings.Join(f.badBudgets, "; ") + ". No node is changed or deleted before that is mended"
	return &verdict{reason: v1alpha1.ReasonBudgetsInvalid, message: message, stalled: true}
}
