// Package redact takes secrets out of text that leaves the machine: the end of a log in a status, which every node's agent
// can read, and what a machine hands out for a diagnosis.
package redact
