package oci

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// File is one file to put into a layer: read from Source, or Content, or a link.
type File struct {
	// Path is slash-separated and relative to the image's root.
	Path string
	// Mode holds the permission bits, 0 meaning 0755, and may hold fs.ModeSetuid, fs.ModeSetgid and fs.ModeSticky.
	// With fs.ModeDir it is a directory, which is needed only for one that is empty or not 0755.
	Mode fs.FileMode
	// Source is a file on disk.
	Source string
	// Content is the content itself, if there is no Source.
	Content []byte
	// HardLink is the path of a file of the same layer that this one is another name of.
	HardLink string
	// Symlink is where a symbolic link leads.
	Symlink string
}

// Entry is what became of a regular file or hard link.
type Entry struct {
	Path   string
	Mode   fs.FileMode
	Size   int64
	SHA256 string
}

// Layer is a layer that is in a layout.
type Layer struct {
	Descriptor v1.Descriptor
	DiffID     v1.Hash
	Entries    []Entry
}

// Compression is how a layer is stored.
type Compression types.MediaType

// Zstd unpacks three times faster; everything reads Gzip.
const (
	Zstd = Compression(types.OCILayerZStd)
	Gzip = Compression(types.OCILayer)
)

const zstdLevel = zstd.SpeedBestCompression

// AddLayer writes a layer's blob, unless the layout has one of the same content: to compress takes far longer than to read.
func (l Layout) AddLayer(files []File, compression Compression) (Layer, error) {
	layer := Layer{}
	plain := sha256.New()
	var err error
	if layer.Entries, err = writeTar(plain, files); err != nil {
		return Layer{}, err
	}
	layer.DiffID = hashOf(plain)
	if known, is := l.recall(layer.DiffID, compression); is {
		layer.Descriptor = known
		return layer, nil
	}
	if layer.Descriptor, err = l.writeLayer(files, compression, layer.DiffID); err != nil {
		return Layer{}, err
	}
	return layer, l.remember(layer.DiffID, compression, layer.Descriptor)
}

// writeLayer writes the blob of a layer whose content is known.
func (l Layout) writeLayer(files []File, compression Compression, content v1.Hash) (v1.Descriptor, error) {
	written := v1.Descriptor{MediaType: types.MediaType(compression)}
	blob, err := l.newBlob()
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer blob.discard()
	compressor, err := compress(blob, compression)
	if err != nil {
		return v1.Descriptor{}, err
	}
	plain := sha256.New()
	_, err = writeTar(io.MultiWriter(compressor, plain), files)
	if err := errors.Join(err, compressor.Close()); err != nil {
		return v1.Descriptor{}, err
	}
	if got := hashOf(plain); got != content {
		return v1.Descriptor{}, fmt.Errorf("a file of a layer changed while it was read: the content was %s and is %s", content, got)
	}
	written.Digest, written.Size, err = blob.commit()
	return written, err
}

func compress(w io.Writer, compression Compression) (io.WriteCloser, error) {
	if compression == Gzip {
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	}
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(1))
}

func writeTar(w io.Writer, files []File) ([]Entry, error) {
	archive := tar.NewWriter(w)
	for _, dir := range parents(files) {
		if err := archive.WriteHeader(header(dir+"/", tar.TypeDir, 0o755)); err != nil {
			return nil, err
		}
	}
	written := map[string]Entry{}
	var entries []Entry
	for _, file := range sorted(files) {
		entry, err := writeFile(archive, file, written)
		if err != nil {
			return nil, fmt.Errorf("put %s into a layer: %w", file.Path, err)
		}
		if file.Symlink == "" && !file.Mode.IsDir() {
			written[file.Path] = entry
			entries = append(entries, entry)
		}
	}
	return entries, archive.Close()
}

// sorted is by path, with hard links after what they link to.
func sorted(files []File) []File {
	files = slices.Clone(files)
	linked := func(f File) int { return min(len(f.HardLink), 1) }
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(cmp.Compare(linked(a), linked(b)), cmp.Compare(a.Path, b.Path))
	})
	return files
}

// parents are all directories above the files, outermost first.
func parents(files []File) []string {
	seen := map[string]bool{}
	for _, file := range files {
		for dir := path.Dir(file.Path); dir != "." && dir != "/"; dir = path.Dir(dir) {
			seen[dir] = true
		}
	}
	dirs := make([]string, 0, len(seen))
	for dir := range seen {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs
}

func writeFile(archive *tar.Writer, file File, written map[string]Entry) (Entry, error) {
	mode := cmp.Or(file.Mode, 0o755)
	switch {
	case file.Symlink != "":
		link := header(file.Path, tar.TypeSymlink, 0o777)
		link.Linkname = file.Symlink
		return Entry{}, archive.WriteHeader(link)
	case file.HardLink != "":
		entry, ok := written[file.HardLink]
		if !ok {
			return Entry{}, fmt.Errorf("a hard link to %s, which the layer does not hold", file.HardLink)
		}
		link := header(file.Path, tar.TypeLink, entry.Mode)
		link.Linkname = file.HardLink
		entry.Path = file.Path
		return entry, archive.WriteHeader(link)
	case mode.IsDir():
		return Entry{}, archive.WriteHeader(header(file.Path+"/", tar.TypeDir, mode))
	default:
		return writeRegular(archive, file, mode)
	}
}

func writeRegular(archive *tar.Writer, file File, mode fs.FileMode) (Entry, error) {
	content, size, err := open(file)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = content.Close() }()
	regular := header(file.Path, tar.TypeReg, mode)
	regular.Size = size
	if err := archive.WriteHeader(regular); err != nil {
		return Entry{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(archive, sum), content); err != nil {
		return Entry{}, err
	}
	return Entry{Path: file.Path, Mode: mode, Size: size, SHA256: hashOf(sum).Hex}, nil
}

func open(file File) (io.ReadCloser, int64, error) {
	if file.Source == "" {
		return io.NopCloser(bytes.NewReader(file.Content)), int64(len(file.Content)), nil
	}
	source, err := os.Open(file.Source)
	if err != nil {
		return nil, 0, err
	}
	info, err := source.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, source.Close())
	}
	return source, info.Size(), nil
}

func header(name string, kind byte, mode fs.FileMode) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: unixMode(mode), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
}

// unixMode spells the bits as tar does.
func unixMode(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	for special, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&special != 0 {
			bits |= bit
		}
	}
	return bits
}

func hashOf(sum hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
}
