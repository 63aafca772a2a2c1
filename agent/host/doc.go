// Package host knows the machine under the node: its facts, and what a node needs of it. It sets nothing: that is
// agent/kernel's.
//
// A System is the only way to the machine; it has a root directory in front of every path and its few system calls
// are functions, so that a test gives it a fixture tree. Gather reads the Facts once, and Inventory what a machine is
// like that is to be chosen among others. Preflight is a pure function from facts and the wanted state to findings.
package host
