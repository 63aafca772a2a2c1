// Package component turns the desired state of a node and the facts about its machine into what upstream's programs
// read: containerd's, the kubelet's and kube-proxy's configuration files, their arguments, and the test of whether
// each one does its work.
//
// Build is pure: the same Config gives the same Plan, byte by byte, and golden files hold what it gives for the kinds
// of machine Drover knows. There is one file for each program; size.go has what depends on the machine's size.
package component
