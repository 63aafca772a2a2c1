// Package report writes the status of a node's NodeAgent.
//
// Whoever learns something calls Update, which never blocks; Run writes what became of it. The first change goes out at
// once, those after it are taken together, and a token bucket bounds the writes whatever flaps. A heartbeat says now
// and then that the agent lives. Nothing waits for a write: as long as there is no NodeAgent, or no API server, the
// newest status is kept and tried again.
package report
