// Package artifact serves a directory of OCI image layouts, one for each repository, as a read-only registry
// (the pull half of the OCI distribution specification): bundles and agents for nodes, images for their runtime.
// What is put into the directory is served from the next request on.
//
//	<root>/bundles/kubernetes/{oci-layout,index.json,blobs/sha256/…}
//	<root>/images/hello/…
package artifact
