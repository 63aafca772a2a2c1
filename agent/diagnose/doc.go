// Package diagnose collects what tells why a node is not well into one archive, on the node itself: with the API server away,
// containerd down and the agent dead.
//
// The archive is made of parts (parts.go and the files named after what they read), each with a time limit of its own; what
// could not be read is in the archive's index with the reason, and keeps nothing else out. No part reads keys, kubeconfigs or
// the environment of processes, and whatever is read is redacted (secrets.go) before it is written (archive.go).
package diagnose
