// Package images makes stand-ins for the images of Kubernetes' end-to-end tests, where upstream's registry is out of
// reach: upstream's own programs, from their modules, on a base of this host's busybox, bash, curl, dig, getent, hostname
// and nc with the libraries they need. Upstream's base is Alpine; so tests that want a particular base can fail.
package images
