// Package adopter tells Cluster API that the cluster Drover runs in exists. In each namespace that has a NodePool it
// makes the Cluster "drover" with an AdoptedCluster and an AdoptedControlPlane, which say what Cluster API's contracts
// ask for: an endpoint, a version, and that both are there and managed elsewhere. It keeps them while pools use them,
// whoever deletes them, and takes them away after the last. It does so whether Cluster API's reconcilers run in the
// manager or somewhere else.
package adopter
