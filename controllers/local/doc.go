// Package local is the infrastructure provider for LocalMachines, which are machines made of namespaces on the manager's
// host.
//
//   - provider.go is what package infra, Cluster API's infrastructure machine contract, asks of a provider.
//   - watcher.go brings the end of a machine to the reconciler.
//   - orphans.go removes machines whose LocalMachine is gone.
//
// How machines are made is package machine's.
package local
