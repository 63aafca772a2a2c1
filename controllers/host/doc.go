// Package host is the infrastructure provider for HostMachines: machines made of Hosts, servers that people own, over SSH.
//
// The pieces, from the pure to the real:
//
//   - claim.go is whose a Host is: an annotation, written with a lock on the Host's version. It decides; the status only
//     tells.
//   - choose.go picks a free Host for a machine, and counts why there is none; picks.go keeps the machines of one manager
//     from choosing the same.
//   - server.go is what is done on a server: preflight, lock file, install, reset.
//   - agents.go is which agent a server of which architecture is given.
//   - login.go turns a Host and its Secrets into a connection (package remote).
//   - provider.go is Cluster API's contract, through package infra: it claims a Host, installs the agent, and releases the
//     Host.
//   - reconciler.go looks after Hosts, claimed or not: it logs in, runs the preflight before a Host may be claimed, and
//     cleans one that was released. Which needs the Host alone: its HostMachine may be gone by then. passed.go is
//     which Hosts passed the preflight; twins.go is how it finds two Hosts of one server, or two servers of one machine-id.
//
// Nothing is kept on the manager's disk: whoever leads goes on where another one stopped.
package host
