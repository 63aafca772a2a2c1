// Package disruption says what a change of a pool's template or of a node's desired state does to the pods of the node: nothing,
// a restart of components that pods live through, a drain, or another machine.
//
// There is one table, with a row for each field, and a test that walks the types holds it whole. It is what is known without
// the machine: which of the components really restart is for the machine's agent to say, which compares what they would be started
// with (drover-agent plan). The table never promises less.
package disruption
