// Package node has what the two ends of a node's life share and no API server serves: the document that makes a
// machine a node, the report of a machine that did not become one, what the init of a local machine carries out, and
// where each of them is on a node.
//
// None of it is a kind. The two ends may be of different releases, as an agent outlives the manager that installed it:
// fields are added, never given another meaning.
package node
