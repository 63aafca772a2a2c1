// Package status says how a node is: it makes the status of a NodeAgent from what was observed.
//
// Probes are what each condition rests on; agent/health asks them. Observed is all that is known at one moment, and Report
// makes the status of it: which condition is True, False or Unknown and why, how the components are, what was found, and
// which step of joining is done. Nothing here looks at a machine, waits, or writes; agent/report writes.
package status
