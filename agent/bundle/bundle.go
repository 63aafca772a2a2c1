package bundle

import "path/filepath"

// Bundle is a verified bundle on disk.
type Bundle struct {
	// Digest is the image's digest: sha256:….
	Digest string
	// Dir is the directory that holds the bundle; it is never written to again.
	Dir string
	// Versions maps each component ("kubelet", "containerd", …) to its version.
	Versions map[string]string
}

// Bin is the path of one program: kubelet, kube-proxy, containerd, containerd-shim-runc-v2, runc.
// The kubelet and kube-proxy may be hard links to one file, which acts by the name it is called as.
func (b *Bundle) Bin(name string) string { return filepath.Join(b.BinDir(), name) }

// BinDir is the directory of the programs.
func (b *Bundle) BinDir() string { return filepath.Join(b.Dir, "bin") }

// CNIDir is the directory of the CNI plugins.
func (b *Bundle) CNIDir() string { return filepath.Join(b.Dir, "cni") }

// ImagesDir is the directory of the OCI archives a node imports before it starts pods.
func (b *Bundle) ImagesDir() string { return filepath.Join(b.Dir, "images") }
