// Package kubeapi is the agent's way to the API server: the handful of requests it makes, and nothing more.
//
// It knows four groups and registers only their kinds. client-go's clientset would register every kind of
// Kubernetes, which doubles the agent's binary and costs memory on each node.
package kubeapi
