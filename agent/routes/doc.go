// Package routes keeps routes to the pods of all Nodes on a machine that is none, such as a control plane's: what an agent
// does on its node.
package routes
