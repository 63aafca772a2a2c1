package machineinit

import (
	"testing"
	"time"
)

func TestRestarts(t *testing.T) {
	type end struct {
		ran           time.Duration
		clean         bool
		delay         time.Duration
		previous      bool
		withoutSecond bool
	}
	quick := func(delay time.Duration, previous bool) end { return end{delay: delay, previous: previous} }
	ms := time.Millisecond
	cases := map[string]struct {
		reason string
		ends   []end
	}{
		"Settled": {"An agent that ran a while starts again at once, however often.",
			[]end{{ran: time.Minute, delay: firstDelay}, {ran: time.Minute, delay: firstDelay}}},
		"MadeWay": {"A clean end is no failure.", []end{{clean: true, delay: firstDelay}, {clean: true, delay: firstDelay}}},
		"FallsBackAndForth": {"After five failed starts the previous binary has its turn, and the other way round.",
			[]end{quick(100*ms, false), quick(200*ms, false), quick(400*ms, false), quick(800*ms, false), quick(100*ms, true),
				quick(200*ms, true), quick(400*ms, true), quick(800*ms, true), quick(1600*ms, true), quick(100*ms, false)}},
		"StaysWithThePrevious": {"The previous one that runs is kept when it crashes later.",
			[]end{quick(100*ms, false), quick(200*ms, false), quick(400*ms, false), quick(800*ms, false), quick(100*ms, true),
				{ran: time.Hour, delay: firstDelay, previous: true}}},
		"NothingToFallBackTo": {"Without a previous binary the starts get rare.",
			[]end{{delay: 100 * ms, withoutSecond: true}, {delay: 200 * ms, withoutSecond: true}, {delay: 400 * ms, withoutSecond: true},
				{delay: 800 * ms, withoutSecond: true}, {delay: lastDelay, withoutSecond: true}, {delay: lastDelay, withoutSecond: true}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var r restarts
			for i, e := range tc.ends {
				delay, previous := r.next(e.ran, e.clean, !e.withoutSecond)
				if delay != e.delay || previous != e.previous {
					t.Errorf("%s End %d: delay %s, previous %t; want %s, %t", tc.reason, i+1, delay, previous, e.delay, e.previous)
				}
			}
		})
	}
}
