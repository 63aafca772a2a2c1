// Package bootreport tells an infrastructure provider what there is to tell while a node's agent has no identity to report
// with: a file in the run directory (node.BootReportPath), which the provider reads where it can reach it.
//
// Several parts of the agent are at work meanwhile, each a phase. The report shows the gravest thing that any of them met
// and has not overcome.
package bootreport
