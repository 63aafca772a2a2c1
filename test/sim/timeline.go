package sim

import (
	"container/heap"
	"time"
)

// epoch is when each day begins.
var epoch = time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC)

// timeline is a clock that jumps from one thing that happens to the next. What happens may itself let time go by, which then
// is filled with what else is due: so everything that acts can be held up in the midst of what it does.
type timeline struct {
	now   time.Time
	due   agenda
	order int
}

// Now implements clock.PassiveClock.
func (t *timeline) Now() time.Time { return t.now }

// Since implements clock.PassiveClock.
func (t *timeline) Since(then time.Time) time.Duration { return t.now.Sub(then) }

// after has something happen later.
func (t *timeline) after(d time.Duration, do func()) {
	t.order++
	heap.Push(&t.due, entry{at: t.now.Add(d), order: t.order, do: do})
}

// pass lets that much time go by, with all that is due until then, unless over says that it is enough.
func (t *timeline) pass(d time.Duration, over func() bool) {
	until := t.now.Add(d)
	for len(t.due) > 0 && !t.due[0].at.After(until) && !over() {
		next := as[entry](heap.Pop(&t.due))
		if next.at.After(t.now) {
			t.now = next.at
		}
		next.do()
	}
	if until.After(t.now) {
		t.now = until
	}
}

// entry is something that will happen. Of what happens in one moment the first that was planned is the first.
type entry struct {
	at    time.Time
	order int
	do    func()
}

// agenda implements heap.Interface.
type agenda []entry

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].order < a[j].order
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, as[entry](x)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	popped := (*a)[last]
	(*a)[last] = entry{}
	*a = (*a)[:last]
	return popped
}

// dice are throws that depend on what they are for, and not on what else was thrown for: a day from which an event was taken
// goes on as before where the event changed nothing.
type dice uint64

// throw is a number of 64 bits for the n-th time that something is decided about somebody.
func (d dice) throw(what, who string, n int) uint64 {
	h := uint64(d)*0x9e3779b97f4a7c15 + 0xcbf29ce484222325
	for _, text := range [2]string{what, who} {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 0x100000001b3
		}
		h = (h ^ 0xff) * 0x100000001b3
	}
	h ^= uint64(n) //nolint:gosec // any bits do
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// between is a duration, from low on and below high.
func (d dice) between(low, high time.Duration, what, who string, n int) time.Duration {
	return low + time.Duration(d.throw(what, who, n)%uint64(high-low)) //nolint:gosec // below high
}

// oneIn is true once in so many times.
func (d dice) oneIn(times uint64, what, who string, n int) bool {
	return d.throw(what, who, n)%times == 0
}
