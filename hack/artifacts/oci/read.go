package oci

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// Read reads a layer back and returns its regular files and hard links, in their order there. Whoever unpacks the blob gets
// these, whatever was meant to be in it.
func (l Layout) Read(layer Layer) ([]Entry, error) {
	blob, err := os.Open(l.Blob(layer.Descriptor.Digest))
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	plain, err := decompress(blob, Compression(layer.Descriptor.MediaType))
	if err != nil {
		return nil, err
	}
	defer func() { _ = plain.Close() }()
	return readTar(plain)
}

func decompress(r io.Reader, compression Compression) (io.ReadCloser, error) {
	if compression == Gzip {
		return gzip.NewReader(r)
	}
	decoder, err := zstd.NewReader(r)
	if err != nil {
		return nil, err
	}
	return decoder.IOReadCloser(), nil
}

func readTar(r io.Reader) ([]Entry, error) {
	read := map[string]Entry{}
	var entries []Entry
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a layer: %w", err)
		}
		var entry Entry
		switch header.Typeflag {
		case tar.TypeReg:
			sum := sha256.New()
			if _, err := io.Copy(sum, archive); err != nil {
				return nil, fmt.Errorf("read %s in a layer: %w", header.Name, err)
			}
			entry = Entry{Mode: header.FileInfo().Mode(), Size: header.Size, SHA256: hashOf(sum).Hex}
		case tar.TypeLink:
			target, there := read[header.Linkname]
			if !there {
				return nil, fmt.Errorf("read %s in a layer: it is a hard link to %s, which does not come before it", header.Name, header.Linkname)
			}
			entry = target
		default:
			continue
		}
		entry.Path = header.Name
		read[entry.Path] = entry
		entries = append(entries, entry)
	}
}
