package budget

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	update    = v1alpha1.DisruptionUpdate
	scaleDown = v1alpha1.DisruptionScaleDown
)

// all is the same for all reasons.
func all(one Allowance) map[v1alpha1.DisruptionReason]Allowance {
	allowed := map[v1alpha1.DisruptionReason]Allowance{}
	for _, reason := range Reasons {
		allowed[reason] = one
	}
	return allowed
}

func with(allowed map[v1alpha1.DisruptionReason]Allowance, reason v1alpha1.DisruptionReason, one Allowance) map[v1alpha1.DisruptionReason]Allowance {
	allowed[reason] = one
	return allowed
}

func TestAt(t *testing.T) {
	night := at(t, "2026-05-02T06:00:00Z")
	for name, tc := range map[string]struct {
		reason  string
		budgets []v1alpha1.DisruptionBudget
		nodes   int
		want    map[v1alpha1.DisruptionReason]Allowance
	}{
		"none": {
			reason: "nobody speaks", nodes: 10, want: map[v1alpha1.DisruptionReason]Allowance{},
		},
		"one": {
			reason: "it is about everything", budgets: []v1alpha1.DisruptionBudget{of(2)}, nodes: 10,
			want: all(Allowance{Nodes: 2}),
		},
		"one for one reason": {
			reason: "and of the other nobody speaks", budgets: []v1alpha1.DisruptionBudget{of(2, update)}, nodes: 10,
			want: map[v1alpha1.DisruptionReason]Allowance{update: {Nodes: 2}},
		},
		"several": {
			reason: "the least counts", budgets: []v1alpha1.DisruptionBudget{of(3), of(1, scaleDown), of("20%")}, nodes: 10,
			want: with(all(Allowance{Nodes: 2, Index: 2}), scaleDown, Allowance{Nodes: 1, Index: 1}),
		},
		"as little": {
			reason: "the first is named", budgets: []v1alpha1.DisruptionBudget{of(1), of("10%")}, nodes: 10,
			want: all(Allowance{Nodes: 1}),
		},
		"part of a node": {
			reason: "is a node", budgets: []v1alpha1.DisruptionBudget{of("1%")}, nodes: 3,
			want: all(Allowance{Nodes: 1}),
		},
		"no part": {
			reason: "is none", budgets: []v1alpha1.DisruptionBudget{of("0%")}, nodes: 3,
			want: all(Allowance{}),
		},
		"of no nodes": {
			reason: "there is nothing to allow", budgets: []v1alpha1.DisruptionBudget{of("100%")},
			want: all(Allowance{}),
		},
		"all": {
			reason: "all", budgets: []v1alpha1.DisruptionBudget{of("100%")}, nodes: 7,
			want: all(Allowance{Nodes: 7}),
		},
		"more than half": {
			reason: "34 of 101 percent would be less than a third", budgets: []v1alpha1.DisruptionBudget{of("34%")}, nodes: 10000,
			want: all(Allowance{Nodes: 3400}),
		},
		"in a window": {
			reason: "it says until when", budgets: []v1alpha1.DisruptionBudget{of(3), during(0, "0 22 * * *", "", 8*time.Hour)}, nodes: 10,
			want: all(Allowance{Index: 1, Until: night}),
		},
		"in none": {
			reason: "what has its time at another time has no say", budgets: []v1alpha1.DisruptionBudget{of(3), during(0, "0 12 * * *", "", time.Hour)}, nodes: 10,
			want: all(Allowance{Nodes: 3}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := understood(t, tc.budgets...).At(at(t, "2026-05-01T23:00:00Z"), tc.nodes)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestUntil(t *testing.T) {
	for name, tc := range map[string]struct {
		budgets []v1alpha1.DisruptionBudget
		want    string
	}{
		"none":                       {nil, ""},
		"always":                     {[]v1alpha1.DisruptionBudget{of(1)}, ""},
		"one that opens":             {[]v1alpha1.DisruptionBudget{of(1), during(0, "0 22 * * *", "", time.Hour)}, "2026-05-01T22:00:00Z"},
		"one that is open":           {[]v1alpha1.DisruptionBudget{during(0, "0 11 * * *", "", 2*time.Hour)}, "2026-05-01T13:00:00Z"},
		"the first of several":       {[]v1alpha1.DisruptionBudget{during(0, "0 22 * * *", "", time.Hour), during(2, "0 11 * * *", "", 3*time.Hour)}, "2026-05-01T14:00:00Z"},
		"one that never closes":      {[]v1alpha1.DisruptionBudget{during(0, "* * * * *", "", time.Hour)}, "2026-05-02T12:00:00Z"},
		"one whose next is long off": {[]v1alpha1.DisruptionBudget{during(0, "0 0 29 2 *", "", time.Hour)}, "2028-02-29T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := understood(t, tc.budgets...).Until(at(t, "2026-05-01T12:00:00Z")); !got.Equal(at(t, tc.want)) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestNothingChangesBeforeItIsSaidTo steps from one Until to the next through a year, and looks in between.
func TestNothingChangesBeforeItIsSaidTo(t *testing.T) {
	budgets := understood(t, of(5), during(0, "0 8 * * mon-fri", "Europe/Berlin", 9*time.Hour, update), during(2, "30 2 * * *", "Europe/Berlin", time.Hour), during("10%", "@weekly", "America/New_York", 40*time.Hour, scaleDown))
	steps := 0
	for now := at(t, "2026-01-01T00:00:00Z"); now.Year() < 2027; steps++ {
		until := budgets.Until(now)
		if !until.After(now) {
			t.Fatalf("at %s it changes at %s", now, until)
		}
		is := budgets.At(now, 40)
		for between := now; between.Before(until); between = between.Add(7 * time.Minute) {
			if diff := cmp.Diff(is, budgets.At(between, 40)); diff != "" {
				t.Fatalf("from %s on nothing was to change before %s, and at %s it has:\n%s", now, until, between, diff)
			}
		}
		now = until
	}
	if least := 2 * 365; steps < least {
		t.Errorf("it changed %d times in a year, want %d at least", steps, least)
	}
}
