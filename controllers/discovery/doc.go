// Package discovery finds out what a node must know about the cluster that Drover runs in: where the API server is as
// nodes reach it, the authorities to trust, the DNS service and the address ranges. Each fact has a flag that overrides
// it, and an error names that flag.
//
// Reading (gather.go) is apart from deciding (decide.go, addresses.go): what was read is an evidence, and each decision
// is a pure function of it and the Overrides.
package discovery
