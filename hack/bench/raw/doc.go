// Package raw is the peer that Drover's node is measured against: containerd, the kubelet and kube-proxy of the same
// bundle, started one after the other by a program that does nothing else, with the configuration files that Drover
// renders, on the same kind of local machine.
//
// The program is put onto the machine in the agent's place, and Document in its bootstrap document's.
package raw
