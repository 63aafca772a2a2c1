// Package host knows the machine under the node: its facts, what a node needs of it, and the few things that must be
// set before the first component starts.
//
// A System is the only way to the machine; it has a root directory in front of every path and its few system calls
// are functions, so that a test gives it a fixture tree. Gather reads the Facts once. Preflight is a pure function
// from facts and the wanted state to findings. ApplySysctls and PrepareCgroups change the machine.
package host
