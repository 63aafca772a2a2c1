// Package drift sees what others change of a node, so that it is not what its generation says any more: files, programs and the
// kernel's parameters. It tells of it, and puts it back where the pool's policy says so.
//
// What a node is to have, and how it is made so, is not known here: each Part is given how to look, and has what differs
// repaired by the code that installs a generation. The kernel's links, routes and rules are looked after by agent/network and
// agent/proxyrules.
package drift
