package images

import (
	"encoding/json"
	"fmt"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// privateRegistry is what agnhost's registry with a password serves, pause:testing, as the files that it reads:
// <image>/{manifests,blobs}/sha256/ab/ab…/data, and the tag as a file that holds the digest.
func privateRegistry(pause image) ([]oci.File, error) {
	dir, err := os.MkdirTemp("", "drover-conformance-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	digest, err := pause.write(dir, "testing")
	if err != nil {
		return nil, fmt.Errorf("make the image for agnhost's registry: %w", err)
	}
	layout, err := oci.OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	const root = "var/registry/pause"
	content, err := os.ReadFile(layout.Blob(digest))
	if err != nil {
		return nil, err
	}
	manifest := v1.Manifest{}
	if err := json.Unmarshal(content, &manifest); err != nil {
		return nil, err
	}
	files := []oci.File{
		{Path: root + "/manifests/testing", Mode: 0o644, Content: []byte(digest.String())},
		{Path: blob(root+"/manifests", digest), Mode: 0o644, Content: content},
	}
	for _, descriptor := range append(manifest.Layers, manifest.Config) {
		content, err := os.ReadFile(layout.Blob(descriptor.Digest))
		if err != nil {
			return nil, err
		}
		files = append(files, oci.File{Path: blob(root+"/blobs", descriptor.Digest), Mode: 0o644, Content: content})
	}
	return files, nil
}

func blob(dir string, digest v1.Hash) string {
	return path.Join(dir, digest.Algorithm, digest.Hex[:2], digest.Hex, "data")
}
