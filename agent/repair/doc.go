// Package repair does what the manager asks of a node's agent about a machine that is unhealthy: each request once, whenever the agent,
// or the machine, ends.
//
// What is about to be done is on disk before it is done, with the boot of the machine that it is done in. An agent that finds it there
// does not do it again: after another boot a reboot was done, and anything else was interrupted. Where that record cannot be read or
// written nothing is done, as a machine that reboots for the same reason for ever would be worse than one that is unhealthy.
package repair
