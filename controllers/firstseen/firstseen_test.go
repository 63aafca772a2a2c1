package firstseen

import (
	"testing"
	"time"
)

func TestAValueIsAsOldAsItsFirstSight(t *testing.T) {
	var times Times[string, int]
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		reason string
		key    string
		value  int
		after  time.Duration
		since  time.Duration
	}{
		{"what is new was first seen now", "a", 1, 0, 0},
		{"and then, while it stays", "a", 1, time.Minute, 0},
		{"another key has a time of its own", "b", 1, 2 * time.Minute, 2 * time.Minute},
		{"another value is new", "a", 2, 3 * time.Minute, 3 * time.Minute},
		{"and so is the first one when it comes back", "a", 1, 4 * time.Minute, 4 * time.Minute},
	} {
		if got := times.At(step.key, step.value, start.Add(step.after)).Sub(start); got != step.since {
			t.Errorf("%s: got %s, want %s", step.reason, got, step.since)
		}
	}
	times.Forget("a")
	if got := times.At("a", 1, start.Add(time.Hour)).Sub(start); got != time.Hour {
		t.Errorf("what was forgotten is %s old, want it new", got)
	}
}
