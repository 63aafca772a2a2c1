package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// FilesLabel is the label of the image's config that lists the bundle's files as JSON ([]File).
	FilesLabel = "dev.drover.files"
	// VersionAnnotation and a component's name make the manifest's annotation that holds the component's version.
	VersionAnnotation = "dev.drover.version."

	// Bounds on what a registry may make a node read and keep.
	maxDocument = 4 << 20 // manifest, config
	maxFiles    = 1000
	maxLayers   = 64
	maxUnpacked = 4 << 30
)

// File is one file of a bundle, as the image's config lists it.
type File struct {
	// Path is slash-separated and relative to the bundle's directory.
	Path string `json:"path"`
	// Mode holds the permission bits.
	Mode fs.FileMode `json:"mode"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is the content's digest in hexadecimal.
	SHA256 string `json:"sha256"`
}

// image is a bundle's description, proved against its digest.
type image struct {
	digest    v1.Hash
	manifest  *v1.Manifest
	config    *v1.ConfigFile
	files     map[string]File
	documents map[string][]byte // what is kept of it on disk, under metadataDir
}

// parseManifest proves and decodes a manifest.
func parseManifest(digest v1.Hash, content []byte) (*v1.Manifest, error) {
	if err := proved(digest, content); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%w: parse manifest: %w", ErrInvalid, err)
	}
	if manifest.MediaType.IsIndex() {
		return nil, fmt.Errorf("%w: the digest names an image index: name the image of one architecture", ErrInvalid)
	}
	if len(manifest.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: %d layers, at most %d are allowed", ErrInvalid, len(manifest.Layers), maxLayers)
	}
	return manifest, nil
}

// parseImage proves and decodes a manifest and its config.
func parseImage(digest v1.Hash, rawManifest, rawConfig []byte) (*image, error) {
	manifest, err := parseManifest(digest, rawManifest)
	if err != nil {
		return nil, err
	}
	if err := proved(manifest.Config.Digest, rawConfig); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(rawConfig))
	if err != nil {
		return nil, fmt.Errorf("%w: parse config: %w", ErrInvalid, err)
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return nil, fmt.Errorf("%w: %d layers, but %d layer digests in the config", ErrInvalid, len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	files, err := parseFiles(config.Config.Labels[FilesLabel])
	if err != nil {
		return nil, err
	}
	return &image{digest: digest, manifest: manifest, config: config, files: files,
		documents: map[string][]byte{manifestFile: rawManifest, configFile: rawConfig}}, nil
}

func parseFiles(label string) (map[string]File, error) {
	if label == "" {
		return nil, fmt.Errorf("%w: the image's config has no label %s: build it with hack/artifacts", ErrInvalid, FilesLabel)
	}
	var list []File
	if err := json.Unmarshal([]byte(label), &list); err != nil {
		return nil, fmt.Errorf("%w: parse the label %s: %w", ErrInvalid, FilesLabel, err)
	}
	files := make(map[string]File, len(list))
	var total int64
	for _, file := range list {
		if !validPath(file.Path) || file.Mode != file.Mode.Perm() || file.Size < 0 {
			return nil, fmt.Errorf("%w: the file list has an unusable entry %q", ErrInvalid, file.Path)
		}
		files[file.Path] = file
		total += file.Size
	}
	if len(list) > maxFiles || total > maxUnpacked || len(files) != len(list) {
		return nil, fmt.Errorf("%w: the file list is too long (%d files, %d bytes) or names a file twice", ErrInvalid, len(list), total)
	}
	return files, nil
}

// validPath says whether a path stays in the bundle and out of the store's own metadata.
func validPath(path string) bool {
	return fs.ValidPath(path) && path != "." && !strings.HasPrefix(path, metadataDir) && !strings.ContainsAny(path, "\\\x00")
}

// versions are the components' versions, by name.
func (i *image) versions() map[string]string {
	versions := map[string]string{}
	for key, value := range i.manifest.Annotations {
		if component, ok := strings.CutPrefix(key, VersionAnnotation); ok {
			versions[component] = value
		}
	}
	return versions
}

func (i *image) size() (compressed int64) {
	for _, layer := range i.manifest.Layers {
		compressed += layer.Size
	}
	return compressed
}
