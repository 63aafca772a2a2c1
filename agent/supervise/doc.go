// Package supervise keeps a node's processes running.
//
// A Supervisor is told which Processes are wanted (Apply) and makes it so while Run runs: it starts them in the order
// of their dependencies, notices their end through pidfds, starts them again with backoff, and replaces the ones
// whose arguments or configuration changed. Nothing ties a child to the supervisor's own life: children have a
// session of their own and write to their log files without a pipe, and a record of each in the run directory lets
// the next supervisor adopt what still runs instead of starting it anew.
//
// One goroutine belongs to each process (unit.go); the rest is what it uses: handles on processes (pidfd.go), records
// (record.go), starting (spawn.go), stopping (stop.go), backoff, log rotation and the redacted end of a log.
package supervise
