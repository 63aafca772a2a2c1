package budget

import (
	"slices"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Reasons are all that nodes are disrupted for.
var Reasons = []v1alpha1.DisruptionReason{v1alpha1.DisruptionUpdate, v1alpha1.DisruptionScaleDown, v1alpha1.DisruptionRepair, v1alpha1.DisruptionExpiry, v1alpha1.DisruptionRefresh}

// Budgets are those of a pool. The zero value has none.
type Budgets []budget

type budget struct {
	// nodes is how many may be disrupted, in percent of those there are where percent is true.
	nodes   int
	percent bool
	// reasons are what it is about; empty for everything.
	reasons []v1alpha1.DisruptionReason
	// window is when it has a say; nil for always.
	window *window
}

// Allowance is how many nodes may be disrupted at one time.
type Allowance struct {
	// Nodes is how many.
	Nodes int
	// Index is the place, in the pool's list, of the budget that says so. Of several that allow as little it is the first.
	Index int
	// Until is how long that budget has a say; zero for always.
	Until time.Time
}

// At is what is allowed for each reason at a moment, of so many nodes. A reason of which no budget speaks then is not there.
func (b Budgets) At(now time.Time, nodes int) map[v1alpha1.DisruptionReason]Allowance {
	allowed := map[v1alpha1.DisruptionReason]Allowance{}
	for i := range b {
		until, speaks := b[i].speaks(now)
		if !speaks {
			continue
		}
		one := Allowance{Nodes: b[i].of(nodes), Index: i, Until: until}
		for _, reason := range Reasons {
			if least, has := allowed[reason]; b[i].covers(reason) && (!has || one.Nodes < least.Nodes) {
				allowed[reason] = one
			}
		}
	}
	return allowed
}

// Until is when At may be another one for the passing of time alone; zero: never.
func (b Budgets) Until(now time.Time) time.Time {
	var first time.Time
	for i := range b {
		if b[i].window == nil {
			continue
		}
		changes, open := b[i].window.open(now)
		if !open {
			changes = b[i].window.next(now)
		}
		if !changes.IsZero() && (first.IsZero() || changes.Before(first)) {
			first = changes
		}
	}
	return first
}

func (b *budget) speaks(now time.Time) (until time.Time, speaks bool) {
	if b.window == nil {
		return time.Time{}, true
	}
	return b.window.open(now)
}

func (b *budget) covers(reason v1alpha1.DisruptionReason) bool {
	return len(b.reasons) == 0 || slices.Contains(b.reasons, reason)
}

// of is how many of so many nodes it allows.
func (b *budget) of(nodes int) int {
	const whole = 100
	if !b.percent {
		return b.nodes
	}
	return (nodes*b.nodes + whole - 1) / whole
}
