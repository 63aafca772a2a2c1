package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Shrink finds the least of a day's events, as far as can be told within a time, that still break the same invariant.
func Shrink(failed Result, breaks Breaker, patience time.Duration) Result {
	deadline := time.Now().Add(patience)
	var held []*invariant // What else a week with fewer events would break is another matter.
	for _, one := range invariants {
		if one.name == failed.Violation.Invariant {
			held = append(held, one)
		}
	}
	ids := []int{}
	for _, e := range failed.Happened {
		if e.at <= failed.Violation.At {
			ids = append(ids, e.id)
		}
	}
	try := func(only []int) bool {
		if time.Now().After(deadline) {
			return false
		}
		result := Run(Options{Seed: failed.Seed, Only: only, Break: breaks, Hold: held})
		if result.Violation == nil || result.Violation.Invariant != failed.Violation.Invariant {
			return false
		}
		ids = only
		return true
	}
	try(slices.Clone(ids))
	for size := max(1, len(ids)/2); size > 0; size /= 2 {
		for from := 0; from < len(ids); {
			to := min(from+size, len(ids))
			if !try(without(ids, from, to)) {
				from = to
			}
		}
	}
	for again := true; again; { // what went last may have been all that one before it was for
		again = false
		for i := range ids {
			if try(without(ids, i, i+1)) {
				again = true
				break
			}
		}
	}
	return Run(Options{Seed: failed.Seed, Only: ids, Tell: true, Break: breaks, Hold: held})
}

// without are numbers but for some of them. It is never nil, which would stand for all.
func without(ids []int, from, to int) []int {
	return append(append(make([]int, 0, len(ids)), ids[:from]...), ids[to:]...)
}

// Replay is what a person needs to see what went wrong, and to see it again.
func (r Result) Replay() string {
	var text strings.Builder
	if r.Violation == nil {
		return fmt.Sprintf("Seed %d went wrong, and does not when it is run again: something in it depends on more than the seed", r.Seed)
	}
	fmt.Fprintf(&text, "Seed %d breaks %s at %s:\n  %s\n", r.Seed, r.Violation.Invariant, clock(r.Violation.At), r.Violation.Message)
	fmt.Fprintf(&text, "It takes %d of the day's events:\n", len(r.Happened))
	numbers := make([]string, 0, len(r.Happened))
	for _, e := range r.Happened {
		fmt.Fprintf(&text, "  %s\n", e)
		numbers = append(numbers, fmt.Sprint(e.id))
	}
	const most = 60
	fmt.Fprintf(&text, "What came of them, the last %d lines:\n", min(most, len(r.Told)))
	for _, line := range r.Told[max(0, len(r.Told)-most):] {
		fmt.Fprintf(&text, "  %s\n", line)
	}
	only := strings.Join(numbers, ",")
	if only == "" {
		only = "none"
	}
	fmt.Fprintf(&text, "Again: make sim SEEDS=%d EVENTS=%s\n", r.Seed, only)
	return text.String()
}
