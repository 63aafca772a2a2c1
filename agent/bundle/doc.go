// Package bundle brings a node's programs onto it: it fetches a bundle (an OCI image named by its
// digest), proves every byte against that digest, and lays it out as a directory that either is
// whole or is not there.
//
// The proof is a chain that starts at the digest in the name: manifest → config → the list of files
// in the config's label "dev.drover.files", with each file's size, mode and SHA-256. What is fetched is
// proved by the layers' digests, which the manifest has too, and must be the files that the list names.
// The manifest and config stay beside the files (in ".oci"), so a bundle that is already on disk,
// pre-baked or shared by the host, is proved by the files' SHA-256 without a registry. A stamp (inode,
// size, times of each file), kept in the store's own directory, lets a restart skip that as long as
// nothing was touched since the bundle was proved.
//
//	<root>/<sha256 hex>/{bin,cni,images,versions.json,.oci}   a bundle
//	<root>/parts/<sha256 hex>                                 leads to a bundle that has a part with this content
//	<root>/.stamps/                                           what was proved, and when
//	<root>/.tmp-*                                             work in progress, swept by the next fetch
package bundle
