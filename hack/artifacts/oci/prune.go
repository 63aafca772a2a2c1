package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Prune removes the blobs that no image of the index refers to and that were written before then: a later one may be of
// an image that is just being made.
func (l Layout) Prune(before time.Time) error {
	used, err := l.used()
	if err != nil {
		return fmt.Errorf("prune %s: %w", l.dir, err)
	}
	blobs, err := os.ReadDir(l.blobs())
	if err != nil {
		return fmt.Errorf("prune %s: %w", l.dir, err)
	}
	for _, blob := range blobs {
		if used[blob.Name()] {
			continue
		}
		if err := removeOld(filepath.Join(l.blobs(), blob.Name()), before); err != nil {
			return fmt.Errorf("prune %s: %w", l.dir, err)
		}
	}
	return nil
}

// used are the names of the blobs of the images in the index.
func (l Layout) used() (map[string]bool, error) {
	index, err := l.index()
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, image := range index.Manifests {
		content, err := os.ReadFile(l.Blob(image.Digest))
		if err != nil {
			return nil, err
		}
		manifest := v1.Manifest{}
		if err := json.Unmarshal(content, &manifest); err != nil {
			return nil, fmt.Errorf("parse the manifest %s: %w", image.Digest, err)
		}
		used[image.Digest.Hex], used[manifest.Config.Digest.Hex] = true, true
		for _, layer := range manifest.Layers {
			used[layer.Digest.Hex] = true
		}
	}
	return used, nil
}

func removeOld(path string, before time.Time) error {
	info, err := os.Stat(path)
	if err == nil && info.ModTime().Before(before) {
		err = os.Remove(path)
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
