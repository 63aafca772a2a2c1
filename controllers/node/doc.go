// Package node is the one writer of a pool's marks on the Nodes of its machines: the labels and taints of the pool's
// template, and the labels that say whose a Node is. They go onto a Node in one write, at once when the template changes, and
// those that an earlier template had are taken back: an annotation on the Node has the list of them. Others' labels and taints
// stay as they are.
//
// A Node whose Machine no pool counts any more is marked as that, and keeps the rest.
//
// Whose a Node is, its provider ID says: [Foreign] keeps the marks off a Node that only has the name of a machine.
//
// What else is written onto Nodes is others': Cluster API keeps its own labels and annotations (controllers/engine), of which those
// that a new Node gets go with its first marks; whoever drains a node cordons it (controllers/nodepool), and a Node that no Machine
// stands for gets a taint (controllers/fence).
package node
