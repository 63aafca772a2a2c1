// Package machine makes machines out of namespaces on this host. It knows nothing of a cluster: who asks for a machine
// gives it a name, a UID and a document to boot with.
//
// The pieces, from the pure to the real:
//
//   - spec.go renders everything about a machine (directories, mounts, files, cgroups, link) from its inputs.
//   - record.go is what is known of a machine on disk: the journal that a killed manager comes back to.
//   - addresses.go gives out addresses, never one twice.
//   - machines.go makes, adopts, reboots and removes machines; each step may be repeated after a crash.
//   - host.go is the interface to everything outside this process; host_linux.go and its neighbours the real one.
//
// A machine does not need who made it: it survives the manager's end, and the next manager adopts it.
package machine
