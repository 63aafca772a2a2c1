package budget

import "time"

// wall is what a zone's clocks show at a moment, as if it were UTC.
func wall(at time.Time, zone *time.Location) time.Time {
	local := at.In(zone)
	return time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
}

// moment is when a zone's clocks show a time: the first time that they do, or, when they skip it, the moment at which they do that.
// So later times never come before earlier ones.
func moment(shown time.Time, zone *time.Location) time.Time {
	at := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), shown.Nanosecond(), zone)
	from, to := at.ZoneBounds()
	switch has := wall(at, zone); {
	case has.After(shown):
		return from.UTC()
	case has.Before(shown):
		return to.UTC()
	case from.IsZero():
		return at.UTC()
	}
	_, before := from.Add(-1).Zone()
	if earlier := shown.Add(-time.Duration(before) * time.Second); earlier.Before(from) && wall(earlier, zone).Equal(shown) {
		return earlier
	}
	return at.UTC()
}
