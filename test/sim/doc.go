// Package sim is a simulation of a pool's days: the real controllers/nodepool.Reconciler, and the planner in it, against a
// simulated API server, fleet, clock and users.
//
//   - timeline.go is the clock, which jumps from one thing that happens to the next; dice.go decides all that is left to chance.
//   - api.go is the API server: versions, optimistic locks, finalizers, status subresources.
//   - manager.go and client.go are Drover's managers: the real reconciler with caches that lag behind, and a way to the API
//     server on which requests are refused, answers get lost, and managers die or lose their lease.
//   - fleet.go and agent.go are what Cluster API, the nodeagent controller and the machines themselves do.
//   - story.go makes up a day: when which fault strikes and which edit a user makes. happenings.go lists these; each stands beside
//     what it does, in faults.go, edits.go, or a file of the feature that it is about. heal.go ends them.
//   - invariants.go lists what must hold, each in a file named invariant_ and as it is. watch.go tells it of each write, and
//     quiet.go asks what the pool came to when all faults are over.
//   - shrink.go finds the least of a day's events that still break an invariant.
//
// A feature adds its happenings to faults or edits, its invariants to invariants, and to broken (broken_test.go) a manager that breaks
// each of them.
//
// A seed is a day. All that happens follows from it, so that a day that went wrong can be run again, without some of its events as
// well.
package sim
