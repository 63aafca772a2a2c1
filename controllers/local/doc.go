// Package local is the infrastructure provider for LocalMachines: machines made of namespaces on the manager's host.
//
// The pieces, from the pure to the real:
//
//   - spec.go renders everything about a machine (directories, mounts, files, cgroups, link) from its inputs.
//   - record.go is what is known of a machine on disk: the journal that a killed manager comes back to.
//   - addresses.go gives out addresses, never one twice.
//   - machines.go makes, adopts, reboots and removes machines; each step may be repeated after a crash.
//   - host.go is the interface to everything outside this process; host_linux.go and its neighbours the real one.
//   - provider.go is what package infra, Cluster API's infrastructure machine contract, asks of a provider.
//
// A machine does not need the manager: it survives the manager's end, and the next manager adopts it.
package local
