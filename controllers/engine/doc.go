// Package engine runs Cluster API's cluster and machine reconcilers inside Drover's manager and makes them see the
// cluster Drover runs in. It is the one importer of sigs.k8s.io/cluster-api's root module, whose Go API may break in
// patch releases.
//
// Its parts: the adopter makes the Cluster "drover" with an AdoptedCluster and an AdoptedControlPlane in each namespace
// that has a NodePool. The localCluster is Cluster API's ClusterCache over the manager's own client and cache: there is
// no kubeconfig Secret, no second informer of Nodes and no second rate limit. The heldClient shows the reconcilers an
// adopted Cluster as it is to be seen while pools use it, so that deleting it, or its namespace, drains like any other
// deletion. Check refuses to start beside a Cluster API that somebody else runs.
package engine
