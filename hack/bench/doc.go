// Command bench (built as drover-bench) measures a node of Drover's against the same components started by hand, on
// the same kind of machine, in turns, and prints one table. It asserts nothing: it fails only when something broke.
//
// world.go has the cluster, drover.go and rawnode.go the two kinds of node, observe.go waits for what they say of
// themselves; each of the other files makes some of the table's rows. Package raw is what runs on a raw machine.
package main
