// Package proxyrules looks after the rules that kube-proxy has in the kernel.
//
// Once kube-proxy wrote its rules it writes only what changes, and all of them once an hour: what somebody flushes in between
// it does not miss, and says that it is well, while every Service of the node is dead. Missing asks the kernel for what
// kube-proxy must have there, and a Keeper has it started again when that is gone, upon which it writes them all.
package proxyrules
