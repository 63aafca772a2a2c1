// Package gitops tests how Argo CD and Flux read Drover's objects: the scripts of config/argocd run in a Lua VM as Argo
// CD's does, on objects that were recorded while the controllers were at work (package test/recorded), and kstatus, by which
// Flux goes, reads the same objects.
package gitops
