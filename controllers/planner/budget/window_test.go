package budget

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// during is a budget of so many nodes in the windows of a schedule.
func during(nodes any, schedule, zone string, length time.Duration, reasons ...v1alpha1.DisruptionReason) v1alpha1.DisruptionBudget {
	b := of(nodes, reasons...)
	b.Schedule, b.TimeZone, b.DurationSeconds = schedule, zone, ptr.To(int32(length/time.Second)) //nolint:gosec // of a test
	return b
}

// of is a budget of so many nodes, always.
func of(nodes any, reasons ...v1alpha1.DisruptionReason) v1alpha1.DisruptionBudget {
	value := intstr.FromInt32(0)
	switch n := nodes.(type) {
	case int:
		value = intstr.FromInt(n)
	case string:
		value = intstr.FromString(n)
	}
	return v1alpha1.DisruptionBudget{Nodes: &value, Reasons: reasons}
}

func understood(t *testing.T, list ...v1alpha1.DisruptionBudget) Budgets {
	t.Helper()
	budgets, wrong := Understand(list)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return budgets
}

func TestWindows(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for name, tc := range map[string]struct {
		schedule, zone string
		length         time.Duration
		now            string
		// until is how long the window is open, or empty; next is when it opens where it is not.
		until, next string
	}{
		"before it opens":                     {"0 22 * * *", "", 8 * hour, "2026-05-01T21:59:59Z", "", "2026-05-01T22:00:00Z"},
		"as it opens":                         {"0 22 * * *", "", 8 * hour, "2026-05-01T22:00:00Z", "2026-05-02T06:00:00Z", ""},
		"past midnight":                       {"0 22 * * *", "", 8 * hour, "2026-05-02T05:59:59Z", "2026-05-02T06:00:00Z", ""},
		"as it closes":                        {"0 22 * * *", "", 8 * hour, "2026-05-02T06:00:00Z", "", "2026-05-02T22:00:00Z"},
		"part of a second":                    {"0 22 * * *", "", 8 * hour, "2026-05-01T21:59:59.5Z", "", "2026-05-01T22:00:00Z"},
		"from Friday to Monday":               {"0 18 * * fri", "", 60 * hour, "2026-05-04T05:00:00Z", "2026-05-04T06:00:00Z", ""},
		"not on a Wednesday":                  {"0 18 * * fri", "", 60 * hour, "2026-05-06T05:00:00Z", "", "2026-05-08T18:00:00Z"},
		"a word":                              {"@daily", "", hour, "2026-05-06T00:30:00Z", "2026-05-06T01:00:00Z", ""},
		"each year":                           {"@yearly", "", day, "2026-05-06T00:30:00Z", "", "2027-01-01T00:00:00Z"},
		"each 29th of February":               {"0 0 29 2 *", "", day, "2026-05-06T00:30:00Z", "", "2028-02-29T00:00:00Z"},
		"two that overlap":                    {"0 1,2 * * *", "", 90 * time.Minute, "2026-05-06T01:30:00Z", "2026-05-06T03:30:00Z", ""},
		"two that touch":                      {"0 1,2 * * *", "", hour, "2026-05-06T01:30:00Z", "2026-05-06T03:00:00Z", ""},
		"two with a minute between":           {"0 1,2 * * *", "", 59 * time.Minute, "2026-05-06T01:30:00Z", "2026-05-06T01:59:00Z", ""},
		"one that never closes":               {"@daily", "", day, "2026-05-06T12:00:00Z", "2026-05-08T00:00:00Z", ""},
		"one that opens each minute":          {"* * * * *", "", hour, "2026-05-06T12:00:00Z", "2026-05-07T12:00:00Z", ""},
		"longer than a year":                  {"@yearly", "", 366 * day, "2026-05-06T12:00:00Z", "2027-01-02T00:00:00Z", ""},
		"in a zone":                           {"0 9 * * *", "America/New_York", hour, "2026-07-01T13:30:00Z", "2026-07-01T14:00:00Z", ""},
		"in a zone, by its own winter":        {"0 9 * * *", "America/New_York", hour, "2026-12-01T13:30:00Z", "", "2026-12-01T14:00:00Z"},
		"on a zone's own day":                 {"0 9 * * mon", "Pacific/Auckland", hour, "2026-07-05T21:30:00Z", "2026-07-05T22:00:00Z", ""},
		"the clock skips the opening":         {"30 2 * * *", "Europe/Berlin", 2 * hour, "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z", ""},
		"a second before it does":             {"30 2 * * *", "Europe/Berlin", 2 * hour, "2026-03-29T00:59:59Z", "", "2026-03-29T01:00:00Z"},
		"open while the clock skips":          {"30 1 * * *", "Europe/Berlin", 2 * hour, "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z", ""},
		"opens the first time of two":         {"30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-10-25T00:30:00Z", "2026-10-25T00:40:00Z", ""},
		"and not the second":                  {"30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-10-25T01:30:00Z", "", "2026-10-26T01:30:00Z"},
		"between the two":                     {"30 2 * * *", "Europe/Berlin", 10 * time.Minute, "2026-10-25T01:10:00Z", "", "2026-10-26T01:30:00Z"},
		"as long as ever in a long night":     {"0 1 * * *", "Europe/Berlin", 3 * hour, "2026-10-25T01:59:59Z", "2026-10-25T02:00:00Z", ""},
		"closed at its end in a long night":   {"0 1 * * *", "Europe/Berlin", 3 * hour, "2026-10-25T02:00:00Z", "", "2026-10-26T00:00:00Z"},
		"a midnight that was skipped":         {"@daily", "America/Sao_Paulo", hour, "2018-11-04T03:30:00Z", "2018-11-04T04:00:00Z", ""},
		"each quarter of an hour, twice":      {"*/15 * * * *", "Europe/Berlin", 5 * time.Minute, "2026-10-25T00:47:00Z", "2026-10-25T00:50:00Z", ""},
		"each quarter, not in the second one": {"*/15 * * * *", "Europe/Berlin", 5 * time.Minute, "2026-10-25T01:16:00Z", "", "2026-10-25T02:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			w := understood(t, during(1, tc.schedule, tc.zone, tc.length))[0].window
			now := at(t, tc.now)
			until, open := w.open(now)
			if open != (tc.until != "") || !until.Equal(at(t, tc.until)) {
				t.Errorf("open: %t, until %s, want it until %q", open, until.Format(time.RFC3339), tc.until)
			}
			if next := w.next(now); !open && !next.Equal(at(t, tc.next)) {
				t.Errorf("it opens at %s, want %s", next.Format(time.RFC3339), tc.next)
			}
		})
	}
}

// TestWindowsAreAsTheirMinutesAre compares a year of windows with what one finds who looks at the clock each minute.
func TestWindowsAreAsTheirMinutesAre(t *testing.T) {
	for name, b := range map[string]v1alpha1.DisruptionBudget{
		"nights in Berlin":       during(1, "0 22 * * *", "Europe/Berlin", 8*time.Hour),
		"in the hour that jumps": during(1, "30 2 * * *", "Europe/Berlin", 45*time.Minute),
		"weekends in New York":   during(1, "0 18 * * 5", "America/New_York", 60*time.Hour),
		"quarters on Lord Howe":  during(1, "*/15 * * * *", "Australia/Lord_Howe", 5*time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			w := understood(t, b)[0].window
			opened, shownBefore := time.Time{}, wall(at(t, "2026-01-01T00:00:00Z").Add(-time.Minute), w.zone)
			latest := shownBefore
			for now := at(t, "2026-01-01T00:00:00Z"); now.Year() < 2027; now = now.Add(time.Minute) {
				shown := wall(now, w.zone)
				for minute := shownBefore.Add(time.Minute); !minute.After(shown); minute = minute.Add(time.Minute) {
					if minute.After(latest) && w.schedule.Next(minute.Add(-time.Second)).Equal(minute) {
						opened = now
					}
				}
				shownBefore = shown
				if shown.After(latest) {
					latest = shown
				}
				if opened.IsZero() {
					continue // it may have opened last year
				}
				until, open := w.open(now)
				if want := now.Before(opened.Add(w.length)); open != want {
					t.Fatalf("at %s, when clocks show %s, it is open: %t, and it opened last at %s", now, shown, open, opened)
				}
				if open && !until.After(now) {
					t.Fatalf("at %s it is open until %s", now, until)
				}
				if next := w.next(now); !open && !next.After(now) {
					t.Fatalf("at %s it opens at %s", now, next)
				}
			}
		})
	}
}
