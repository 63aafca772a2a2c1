package bundle

import (
	"cmp"
	"path"
	"path/filepath"
)

// Bundle is a verified bundle on disk.
type Bundle struct {
	// Digest is the image's digest: sha256:….
	Digest string
	// Dir is the directory that holds the bundle; it is never written to again.
	Dir string
	// Versions maps each component ("kubelet", "containerd", …) to its version.
	Versions map[string]string
	// Parts are the directories that have the programs of a component (and the plugins of "cni") at the paths of their content,
	// laid out as Dir is. What has none is in Dir.
	Parts map[string]string

	files map[string]File
}

// Bin is the path of one program: kubelet, kube-proxy, containerd, containerd-shim-runc-v2, runc.
// The kubelet and kube-proxy may be hard links to one file, which acts by the name it is called as.
func (b *Bundle) Bin(name string) string {
	file := path.Join("bin", name)
	return filepath.Join(b.home(partOf(file)), file)
}

// CNIDir is the directory of the CNI plugins.
func (b *Bundle) CNIDir() string { return filepath.Join(b.home(cniPart), "cni") }

// InPlace is the bundle with all programs in its own directory.
func (b *Bundle) InPlace() *Bundle {
	located := *b
	located.Parts = nil
	return &located
}

// home is the directory that a part is in.
func (b *Bundle) home(part string) string { return cmp.Or(b.Parts[part], b.Dir) }

// ImagesDir is the directory of the OCI archives a node imports before it starts pods.
func (b *Bundle) ImagesDir() string { return filepath.Join(b.Dir, "images") }
