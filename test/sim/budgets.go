package sim

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var editBudgets = withNumber(edited("budgets", 2, func(w *world, e event) { w.editPool(budgetOf(e.number).write) }),
	func(number int) string { return budgetOf(number).String() })

// budgeted is a budget, of all reasons or one, at all times or for some hours of each day.
type budgeted struct {
	nodes       intstr.IntOrString
	reason      v1alpha1.DisruptionReason
	from, hours int
}

// budgets are those that users think of. The last is none.
var budgets = []budgeted{
	{nodes: intstr.FromInt32(1)}, {nodes: intstr.FromString("50%")}, {nodes: intstr.FromInt32(2), reason: v1alpha1.DisruptionUpdate},
	{nodes: intstr.FromInt32(0), reason: v1alpha1.DisruptionUpdate, from: 8, hours: 10}, {nodes: intstr.FromInt32(0), from: 0, hours: 12},
	{nodes: intstr.FromInt32(0), reason: v1alpha1.DisruptionExpiry, from: 4, hours: 10}, {},
}

func budgetOf(number int) budgeted { return budgets[number%len(budgets)] }

func (b budgeted) String() string {
	if b == (budgeted{}) {
		return "none"
	}
	text := b.nodes.String() + " nodes"
	if b.reason != "" {
		text += " for " + string(b.reason)
	}
	if b.hours > 0 {
		text += fmt.Sprintf(", from %d o'clock for %d hours", b.from, b.hours)
	}
	return text
}

func (b budgeted) write(p *v1alpha1.NodePool) {
	p.Spec.Disruption.Budgets = nil
	if b == (budgeted{}) {
		return
	}
	one := v1alpha1.DisruptionBudget{Nodes: &b.nodes}
	if b.reason != "" {
		one.Reasons = []v1alpha1.DisruptionReason{b.reason}
	}
	if b.hours > 0 {
		one.Schedule, one.DurationSeconds = fmt.Sprintf("0 %d * * *", b.from), ptr.To(int32(b.hours*3600)) //nolint:gosec // hours
	}
	p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{one}
}

// speaks says whether a budget has a say at a time. Each begins and ends on the day.
func (b budgeted) speaks(reason v1alpha1.DisruptionReason, at time.Time) bool {
	return b != (budgeted{}) && (b.reason == "" || b.reason == reason) && (b.hours == 0 || at.Hour() >= b.from && at.Hour() < b.from+b.hours)
}
