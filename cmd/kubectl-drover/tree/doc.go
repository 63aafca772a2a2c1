// Package tree shows the fleet as a tree: pool, machine, agent, component.
//
// read.go lists what there is; build.go, purely, makes it a tree of nodes with a state each and puts problems first;
// render.go, purely, prints that.
package tree
