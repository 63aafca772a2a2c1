// Package budget understands a pool's disruption budgets: how many of its nodes may be disrupted at a moment, for which reason, and
// until when that is so. It is pure. What it makes of them is Karpenter's: a budget has a say always, or in the windows of a schedule,
// and of those that have one the least counts; percentages round up. Other than there a schedule may have a time zone.
//
// A schedule goes by the wall clock. The parser's own arithmetic leaves out what the clock skips in spring, so that a window in which
// nothing may be disrupted would not open on that day. Here openings are worked out on a wall clock that never changes, and then looked
// for in the zone: each is once, skipped or twice there (zone.go).
package budget
