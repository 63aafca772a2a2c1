// Package remote reaches a machine over SSH: it dials (through a jump host or a proxy, if asked), checks the host's key
// against pins, runs scripts as root and puts files. It knows nothing of Kubernetes and keeps no state.
//
// Two promises hold throughout. No secret stands in an argument vector: scripts, their input and sudo's password all
// travel on standard input. And everything is bounded: handshakes, silence, output, what is quoted in an error.
//
// Whatever goes wrong is an *Error with one of the reasons below, except the caller's own cancellation.
package remote
