package budget

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // what a budget means does not depend on the host's files

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Field is where a pool has its budgets.
const Field = "spec.disruption.budgets"

// always is a moment in a leap year. What does not begin in the five years from then never does.
var always = time.Date(2028, time.January, 1, 0, 0, 0, 0, time.UTC)

// Understand is what a pool's budgets mean, or what is wrong with them: each a sentence that begins with the field. With anything wrong
// there is nothing else, as what is left of the budgets would allow more than was meant.
func Understand(list []v1alpha1.DisruptionBudget) (budgets Budgets, wrong []string) {
	for i := range list {
		one, problems := understand(&list[i])
		for _, p := range problems {
			wrong = append(wrong, fmt.Sprintf("%s[%d].%s", Field, i, p))
		}
		budgets = append(budgets, one)
	}
	if len(wrong) == 0 {
		wrong = contradictions(budgets)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return budgets, nil
}

func understand(from *v1alpha1.DisruptionBudget) (b budget, wrong []string) {
	complain := func(field, format string, args ...any) {
		wrong = append(wrong, field+" "+fmt.Sprintf(format, args...))
	}
	b.reasons = from.Reasons
	for _, reason := range from.Reasons {
		if !slices.Contains(Reasons, reason) {
			complain("reasons", "has %q, which is none of %v", reason, Reasons)
		}
	}
	var ok bool
	if b.nodes, b.percent, ok = amount(from.Nodes); !ok {
		complain("nodes", "is %q: it is a number, or a percentage from 0%% to 100%%", from.Nodes.String())
	}
	switch {
	case from.Schedule == "" && from.DurationSeconds != nil:
		complain("durationSeconds", "is set without a schedule: set that too, or neither")
	case from.Schedule == "" && from.TimeZone != "":
		complain("timeZone", "is set without a schedule: set that too, or leave it out")
	case from.Schedule != "" && ptr.Deref(from.DurationSeconds, 0) <= 0:
		complain("durationSeconds", "is not set, and the budget has a schedule: say how long it has a say each time")
	case from.Schedule != "":
		var problems []string
		b.window, problems = newWindow(from)
		wrong = append(wrong, problems...)
	}
	return b, wrong
}

// amount reads a number or a percentage.
func amount(nodes *intstr.IntOrString) (n int, percent, ok bool) {
	switch {
	case nodes == nil:
		return 0, false, false
	case nodes.Type == intstr.Int:
		return nodes.IntValue(), false, nodes.IntVal >= 0
	}
	digits, percent := strings.CutSuffix(nodes.StrVal, "%")
	n, err := strconv.Atoi(digits)
	return n, percent, percent && err == nil && n >= 0 && n <= 100
}

func newWindow(from *v1alpha1.DisruptionBudget) (*window, []string) {
	var wrong []string
	zone, err := time.LoadLocation(from.TimeZone)
	if err != nil || zone == time.Local {
		wrong = append(wrong, fmt.Sprintf("timeZone is %q, and there is no such time zone: name one such as Europe/Berlin", from.TimeZone))
	}
	schedule, err := parse(from.Schedule)
	switch {
	case err != nil:
		wrong = append(wrong, fmt.Sprintf("schedule is %q: %v", from.Schedule, err))
	case schedule.Next(always).IsZero():
		wrong = append(wrong, fmt.Sprintf("schedule is %q, which is no day of any year: the budget would never have a say", from.Schedule))
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return &window{schedule: schedule, zone: zone, length: time.Duration(*from.DurationSeconds) * time.Second}, nil
}

// parse reads a schedule of cron. What the parser knows besides is none: a zone in front, or an interval from whenever it is read.
func parse(text string) (schedule cron.Schedule, err error) {
	if strings.Contains(text, "TZ=") || strings.HasPrefix(text, "@every") {
		return nil, fmt.Errorf("it has five fields, or is one of @yearly, @monthly, @weekly, @daily and @hourly")
	}
	defer func() { // The parser has had inputs that it did not survive.
		if r := recover(); r != nil {
			schedule, err = nil, fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	schedule, err = cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	return schedule, nil
}

// contradictions are the budgets with a schedule that one without never lets have a say: it allows nothing at all times. Whoever wrote
// that meant the opposite, windows in which something is allowed.
func contradictions(budgets Budgets) (wrong []string) {
	for i := range budgets {
		if never := &budgets[i]; never.window != nil || never.nodes > 0 {
			continue
		}
		for j := range budgets {
			if other := &budgets[j]; other.window != nil && !slices.ContainsFunc(Reasons, func(r v1alpha1.DisruptionReason) bool { return other.covers(r) && !budgets[i].covers(r) }) {
				wrong = append(wrong, fmt.Sprintf("%s[%d] allows no node at any time, so that %s[%d] never has a say: give it a schedule, too, of when nothing may be disrupted", Field, i, Field, j))
			}
		}
	}
	return wrong
}
