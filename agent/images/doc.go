// Package images puts the images of a bundle into containerd, so that a node can start pods before it can reach any
// registry. It speaks containerd's own gRPC services; containerd's CRI plugin unpacks an image when it is first used.
package images
