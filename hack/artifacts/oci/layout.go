package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/atomicfile"
)

const refName = "org.opencontainers.image.ref.name"

// Layout is an OCI image layout: a directory of blobs and an index of the images among them.
// What is added is seen by readers at once, whole or not at all.
type Layout struct{ dir string }

// OpenLayout opens a layout, and makes it if it is not there.
func OpenLayout(dir string) (Layout, error) {
	l := Layout{dir: dir}
	if err := os.MkdirAll(l.blobs(), 0o755); err != nil {
		return Layout{}, err
	}
	return l, writeAtomically(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

func (l Layout) blobs() string { return filepath.Join(l.dir, "blobs", "sha256") }

// Blob is the path of a blob.
func (l Layout) Blob(digest v1.Hash) string { return filepath.Join(l.blobs(), digest.Hex) }

// index reads what the layout offers; a new one offers nothing.
func (l Layout) index() (*v1.IndexManifest, error) {
	index := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	content, err := os.ReadFile(filepath.Join(l.dir, "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return nil, err
	}
	return index, json.Unmarshal(content, index)
}

// lock waits until nobody else, of this process or another, changes the index, and keeps it until the function is called.
func (l Layout) lock() (unlock func(), err error) {
	dir, err := os.Open(l.dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil { //nolint:gosec // a descriptor is small
		return nil, errors.Join(fmt.Errorf("lock %s: %w", l.dir, err), dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}

// tag makes an image known by a tag, which it takes from any other.
func (l Layout) tag(tag string, image v1.Descriptor) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	index, err := l.index()
	if err != nil {
		return err
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Annotations[refName] == tag })
	image.Annotations = map[string]string{refName: tag}
	index.Manifests = append(index.Manifests, image)
	content, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return writeAtomically(filepath.Join(l.dir, "index.json"), content)
}

// addDocument writes a small blob.
func (l Layout) addDocument(mediaType types.MediaType, document any) (v1.Descriptor, error) {
	content, err := json.Marshal(document)
	if err != nil {
		return v1.Descriptor{}, err
	}
	blob, err := l.newBlob()
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer blob.discard()
	if _, err := io.Copy(blob, bytes.NewReader(content)); err != nil {
		return v1.Descriptor{}, err
	}
	digest, size, err := blob.commit()
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, err
}

// blobWriter writes a blob whose name is known only at the end.
type blobWriter struct {
	layout Layout
	file   *os.File
	sum    hash.Hash
	size   int64
}

func (l Layout) newBlob() (*blobWriter, error) {
	file, err := os.CreateTemp(l.blobs(), ".tmp-")
	if err != nil {
		return nil, err
	}
	return &blobWriter{layout: l, file: file, sum: sha256.New()}, nil
}

func (b *blobWriter) Write(content []byte) (int, error) {
	n, err := b.file.Write(content)
	b.sum.Write(content[:n])
	b.size += int64(n)
	return n, err
}

func (b *blobWriter) commit() (v1.Hash, int64, error) {
	digest := hashOf(b.sum)
	err := errors.Join(b.file.Chmod(0o644), b.file.Close())
	if err != nil {
		return v1.Hash{}, 0, err
	}
	return digest, b.size, os.Rename(b.file.Name(), b.layout.Blob(digest))
}

// discard removes what was not committed.
func (b *blobWriter) discard() {
	_ = b.file.Close()
	_ = os.Remove(b.file.Name())
}

func writeAtomically(path string, content []byte) error {
	return atomicfile.Replace(path, bytes.NewReader(content), 0o644)
}
