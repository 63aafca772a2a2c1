// Package oci writes OCI images from files, on an empty base, without a container engine: layers, configs and
// manifests into an image layout on disk, and from there into an archive that `ctr images import` and `docker load` take.
//
// The same input gives the same bytes: entries are sorted, times are zero, compressors run alone. So a digest
// changes when a program changes, and at no other time.
package oci
