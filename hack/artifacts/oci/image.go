package oci

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is an image to add to a layout.
type Image struct {
	// Architecture is Go's name for it.
	Architecture string
	// Layers are in the layout already, lowest first.
	Layers []Layer
	// Config says how a container of it runs.
	Config v1.Config
	// Annotations are on the manifest.
	Annotations map[string]string
}

// Add writes an image's config and manifest, and tags it.
func (l Layout) Add(tag string, image Image) (v1.Hash, error) {
	config := v1.ConfigFile{Architecture: image.Architecture, OS: "linux", Config: image.Config, RootFS: v1.RootFS{Type: "layers"}}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: image.Annotations}
	for _, layer := range image.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.DiffID)
		manifest.Layers = append(manifest.Layers, layer.Descriptor)
	}
	var err error
	if manifest.Config, err = l.addDocument(types.OCIConfigJSON, config); err != nil {
		return v1.Hash{}, err
	}
	descriptor, err := l.addDocument(manifest.MediaType, manifest)
	if err != nil {
		return v1.Hash{}, err
	}
	descriptor.Platform = &v1.Platform{OS: "linux", Architecture: image.Architecture}
	return descriptor.Digest, l.tag(tag, descriptor)
}

// Archive writes one image as an OCI archive, which containerd imports under the given name.
func (l Layout) Archive(w io.Writer, digest v1.Hash, name string) error {
	content, err := os.ReadFile(l.Blob(digest))
	if err != nil {
		return err
	}
	manifest := v1.Manifest{}
	if err := json.Unmarshal(content, &manifest); err != nil {
		return fmt.Errorf("parse the manifest of %s: %w", name, err)
	}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: manifest.MediaType, Digest: digest, Size: int64(len(content)),
		Annotations: map[string]string{"io.containerd.image.name": name, refName: name[strings.LastIndex(name, ":")+1:]},
	}}})
	if err != nil {
		return err
	}
	blobs := map[string]bool{digest.Hex: true, manifest.Config.Digest.Hex: true}
	for _, layer := range manifest.Layers {
		blobs[layer.Digest.Hex] = true
	}
	files := []File{{Path: "index.json", Mode: 0o644, Content: index}, {Path: "oci-layout", Mode: 0o644, Content: []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	for _, blob := range slices.Sorted(maps.Keys(blobs)) {
		files = append(files, File{Path: "blobs/sha256/" + blob, Mode: 0o644, Source: l.Blob(v1.Hash{Algorithm: "sha256", Hex: blob})})
	}
	return writeArchive(w, files)
}

func writeArchive(w io.Writer, files []File) error {
	archive := tar.NewWriter(w)
	for _, file := range sorted(files) {
		if _, err := writeFile(archive, file, nil); err != nil {
			return err
		}
	}
	return archive.Close()
}
