// Package apiserver gives integration tests a real etcd and kube-apiserver, with Drover's and Cluster API's kinds
// installed and RBAC, the node authorizer and bootstrap tokens on; where a test needs garbage collection or the
// signing of certificates, a real kube-controller-manager too.
//
// A test package has one control plane: TestMain is os.Exit(apiserver.Run(m)), tests call Shared and work in a
// Namespace of their own. Start gives a test one of its own. The binaries are those in KUBEBUILDER_ASSETS (make test
// sets it). Nothing outlives the test binary: its children die with it even when it is killed, and their directories
// are removed by the next run.
package apiserver
