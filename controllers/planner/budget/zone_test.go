package budget

import (
	"testing"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment.UTC()
}

func TestWhenAZonesClocksShowATime(t *testing.T) {
	for name, tc := range map[string]struct{ zone, shown, want string }{
		"UTC":                               {"UTC", "2026-07-01T02:30:00Z", "2026-07-01T02:30:00Z"},
		"summer":                            {"Europe/Berlin", "2026-07-01T02:30:00Z", "2026-07-01T00:30:00Z"},
		"winter":                            {"Europe/Berlin", "2026-12-01T02:30:00Z", "2026-12-01T01:30:00Z"},
		"before the clock skips an hour":    {"Europe/Berlin", "2026-03-29T01:59:59Z", "2026-03-29T00:59:59Z"},
		"when it does":                      {"Europe/Berlin", "2026-03-29T02:00:00Z", "2026-03-29T01:00:00Z"},
		"in the hour that it skips":         {"Europe/Berlin", "2026-03-29T02:59:59Z", "2026-03-29T01:00:00Z"},
		"after it did":                      {"Europe/Berlin", "2026-03-29T03:00:00Z", "2026-03-29T01:00:00Z"},
		"in the hour that it has twice":     {"Europe/Berlin", "2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"},
		"its beginning":                     {"Europe/Berlin", "2026-10-25T02:00:00Z", "2026-10-25T00:00:00Z"},
		"its end":                           {"Europe/Berlin", "2026-10-25T03:00:00Z", "2026-10-25T02:00:00Z"},
		"west of Greenwich, skipped":        {"America/New_York", "2026-03-08T02:30:00Z", "2026-03-08T07:00:00Z"},
		"west of Greenwich, twice":          {"America/New_York", "2026-11-01T01:30:00Z", "2026-11-01T05:30:00Z"},
		"a midnight that was skipped":       {"America/Sao_Paulo", "2018-11-04T00:00:00Z", "2018-11-04T03:00:00Z"},
		"half an hour, skipped":             {"Australia/Lord_Howe", "2026-10-04T02:15:00Z", "2026-10-03T15:30:00Z"},
		"half an hour, twice":               {"Australia/Lord_Howe", "2026-04-05T01:45:00Z", "2026-04-04T14:45:00Z"},
		"a day that was skipped":            {"Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z"},
		"a zone without summer time":        {"Asia/Kolkata", "2026-03-29T02:30:00Z", "2026-03-28T21:00:00Z"},
		"before the zone's first change":    {"Europe/Berlin", "1800-01-01T00:00:00Z", "1799-12-31T23:06:32Z"},
		"a zone of one offset for all time": {"Etc/GMT-14", "2026-01-01T14:00:00Z", "2026-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := moment(at(t, tc.shown), zone(t, tc.zone)); !got.Equal(at(t, tc.want)) {
				t.Errorf("the clocks of %s show %s at %s, want %s", tc.zone, tc.shown, got.Format(time.RFC3339), tc.want)
			}
		})
	}
}

// TestLaterTimesAreNotShownEarlier through two years of several zones, minute for minute where their clocks change.
func TestLaterTimesAreNotShownEarlier(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago"} {
		location := zone(t, name)
		var last time.Time
		for shown := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); shown.Year() < 2028; shown = shown.Add(5 * time.Minute) {
			now := moment(shown, location)
			if now.Before(last) {
				t.Fatalf("%s: %s is shown at %s, and five minutes less at %s", name, shown, now, last)
			}
			if back := wall(now, location); back.Before(shown) {
				t.Fatalf("%s: at %s the clocks show %s, which is before %s", name, now, back, shown)
			}
			last = now
		}
	}
}
