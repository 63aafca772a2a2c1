package images

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// maxBlob bounds a blob of an archive, in bytes. One is sent to containerd in a single message, which may have 16 MiB.
const maxBlob = 8 << 20

const (
	refNameAnnotation   = "org.opencontainers.image.ref.name"
	imageNameAnnotation = "io.containerd.image.name"
)

// descriptor is the part of OCI's descriptor that matters here; manifest is of an index's and a manifest's.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	Manifests []descriptor `json:"manifests,omitempty"`
	Config    *descriptor  `json:"config,omitempty"`
	Layers    []descriptor `json:"layers,omitempty"`
}

// name is the image's name in an archive's index; empty when the index gives none.
func (d *descriptor) name() string {
	if name := d.Annotations[imageNameAnnotation]; name != "" {
		return name
	}
	return d.Annotations[refNameAnnotation]
}

// archive is an OCI image layout in a tar file.
type archive struct {
	index manifest
	blobs map[string][]byte // by digest
}

// readArchive reads an archive whole. Digests are containerd's to check: it refuses content that differs from its name.
func readArchive(file string) (*archive, error) {
	handle, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read image archive: %w", err)
	}
	defer func() { _ = handle.Close() }()
	result := &archive{blobs: map[string][]byte{}}
	for reader := tar.NewReader(handle); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read image archive %s: %w", file, err)
		}
		name := path.Clean(header.Name)
		isIndex, blob := name == "index.json", strings.TrimPrefix(name, "blobs/")
		if header.Typeflag != tar.TypeReg || (!isIndex && blob == name) {
			continue
		}
		if header.Size > maxBlob {
			return nil, fmt.Errorf("read image archive %s: %s has %d bytes, at most %d are taken", file, name, header.Size, maxBlob)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			return nil, fmt.Errorf("read image archive %s: %w", file, err)
		}
		if isIndex {
			err = json.Unmarshal(data, &result.index)
		} else {
			result.blobs[strings.Replace(blob, "/", ":", 1)] = data
		}
		if err != nil {
			return nil, fmt.Errorf("read image archive %s: %w", file, err)
		}
	}
	if len(result.index.Manifests) == 0 {
		return nil, fmt.Errorf("read image archive %s: it has no index.json with an image", file)
	}
	return result, nil
}

// children are the blobs that a blob refers to, by the labels that keep containerd from collecting them.
func children(data []byte) (map[string]string, []descriptor) {
	var m manifest
	if json.Unmarshal(data, &m) != nil {
		return nil, nil // a layer or another opaque blob
	}
	labels := map[string]string{}
	var all []descriptor
	add := func(label string, d descriptor) {
		labels["containerd.io/gc.ref.content."+label] = d.Digest
		all = append(all, d)
	}
	for i, d := range m.Manifests {
		add(fmt.Sprintf("m.%d", i), d)
	}
	if m.Config != nil && len(m.Config.Digest) > 0 {
		add("config", *m.Config)
	}
	for i, d := range m.Layers {
		add(fmt.Sprintf("l.%d", i), d)
	}
	return labels, all
}
