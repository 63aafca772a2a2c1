// Package membership keeps a machine that nobody wants from becoming a node again.
//
// A machine that was released, or whose deletion ended without it, has a kubelet whose certificate still holds: when it
// starts, its Node is there once more, and takes pods.
//
// Cluster API deletes the Node when the infrastructure is gone, at the end of a Machine's deletion, and the manager deletes
// the NodeAgent when the Machine is gone: moments after each other. So a Node that is missing is mended only after a while,
// and then only if the NodeAgent is still there. As long as the API server cannot be asked nothing is done about what runs.
//
// A machine that boots meanwhile has its kubelet started all the same, for its static pods, but without leave to register a
// Node. When the API server has answered the kubelet is started anew with it: at once, where it would itself only ask again after
// a while that has grown with the silence.
package membership
