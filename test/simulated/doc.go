// Package simulated is an infrastructure provider without infrastructure: its machines are Nodes that nobody runs.
// Tests and benchmarks use it where only the control loops matter. It keeps Cluster API's contract for infrastructure
// machines, with the kinds SimulatedMachine and SimulatedMachineTemplate.
package simulated
