// Package bundle brings a node's programs onto it: it fetches a bundle (an OCI image named by its
// digest), proves every byte against that digest, and lays it out as a directory that either is
// whole or is not there.
//
// The proof is a chain that starts at the digest in the name: manifest → config → the list of files
// in the config's label "dev.drover.files" → each file's SHA-256. The manifest and config stay beside
// the files (in ".oci"), so a bundle that is already on disk, pre-baked or shared by the host, is
// proved the same way without a registry. A stamp (inode, size, times of each file), kept in the
// store's own directory, lets a restart skip the hashing as long as nothing was touched.
//
//	<root>/<sha256 hex>/{bin,cni,images,versions.json,.oci}   a bundle
//	<root>/.stamps/                                           what was proved, and when
//	<root>/.tmp-*                                             work in progress, swept by the next fetch
package bundle
