// Package agent is the life of a node: identity → preflight → fetch → activate → join → watch → report.
//
// The steps wait for each other only where they must. The identity is asked for first, so that whatever fails after
// it reaches NodeAgent.status; meanwhile the machine is checked, the bundle is brought in and containerd, which needs no
// identity, is started. On a restart everything needed is on disk (the identity, the bundle, the desired state in
// generations), so nothing waits for the network: running components are adopted at once, and what the
// API server wants is looked at afterwards.
//
// Each file here is one step, and holds only wiring and what must survive a crash; the work is in the packages below. What
// the node says of itself is collected here (observe.go) and put into words by agent/status.
package agent
