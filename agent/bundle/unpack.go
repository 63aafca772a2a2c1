package bundle

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

const (
	maxWindow = 128 << 20 // what zstd may hold in memory; our own layers need 8 MB
	// tarOverhead is how much more than the listed files a layer may have: headers, directories, padding.
	tarOverhead = 16 << 20
)

// unpacker writes layers into one directory. Only what the image lists comes into being, each path once,
// and os.Root keeps it inside whatever a tar says.
type unpacker struct {
	root  *os.Root
	lazy  bool // what is written is not synced
	files map[string]File

	mutex   sync.Mutex
	written map[string]bool
}

// layer unpacks one layer and proves its bytes as they are stored. The digests of the uncompressed layer and of each file
// would prove nothing more, and they take a processor without instructions for SHA-256 longer than all else.
func (u *unpacker) layer(source io.Reader, layer v1.Descriptor) error {
	stored := newProvingReader(source)
	err := u.decompress(stored, layer.MediaType)
	var disk *fs.PathError
	if errors.As(err, &disk) {
		return err // a full disk, say: the rest need not be downloaded
	}
	if broken := stored.prove(layer.Digest); broken != nil {
		return broken // what a decoder says about bad bytes is of no use
	}
	return err
}

func (u *unpacker) decompress(stored io.Reader, mediaType types.MediaType) error {
	switch mediaType {
	case types.OCILayerZStd:
		decoder, err := zstd.NewReader(stored, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		defer decoder.Close()
		return u.plain(decoder)
	case types.OCILayer, types.DockerLayer:
		decoder, err := gzip.NewReader(stored)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return u.plain(decoder)
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
		return u.plain(stored)
	default:
		return fmt.Errorf("%w: layers of type %q are not known: use tar with zstd or gzip", ErrInvalid, mediaType)
	}
}

// plain unpacks an archive, and reads what follows it up to the bound.
func (u *unpacker) plain(source io.Reader) error {
	reader := &boundedReader{source: source, left: u.maxLayer()}
	if err := u.entries(tar.NewReader(reader)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, reader)
	return err
}

func (u *unpacker) maxLayer() int64 {
	size := int64(tarOverhead)
	for _, file := range u.files {
		size += file.Size
	}
	return size
}

// boundedReader ends what a few compressed bytes could blow up without end: its digest is known only afterwards.
type boundedReader struct {
	source io.Reader
	left   int64
}

func (b *boundedReader) Read(buffer []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: the layer holds more than the files that the image lists", ErrInvalid)
	}
	n, err := b.source.Read(buffer[:min(int64(len(buffer)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (u *unpacker) entries(archive *tar.Reader) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: read tar: %w", ErrInvalid, err)
		}
		if err := u.entry(header, archive); err != nil {
			return fmt.Errorf("unpack %q: %w", header.Name, err)
		}
	}
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(strings.TrimPrefix(header.Name, "./"), "/")
	if header.Typeflag == tar.TypeDir && (name == "" || name == "." || validPath(name)) {
		return nil // directories come into being with the files in them
	}
	file, err := u.claim(name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		if header.Size != file.Size {
			// Found out only after writing it, a file of any size would have filled the disk.
			return fmt.Errorf("%w: the file has %d bytes, not the %d listed", ErrDigestMismatch, header.Size, file.Size)
		}
		return u.write(file, content)
	case tar.TypeLink:
		return u.link(file, header.Linkname)
	default:
		return fmt.Errorf("%w: entries of type %q are refused: only files, directories and hard links are unpacked", ErrInvalid, header.Typeflag)
	}
}

// claim makes sure that a path is listed and written once, also by layers unpacked side by side.
func (u *unpacker) claim(name string) (File, error) {
	file, listed := u.files[name]
	if !listed {
		return File{}, fmt.Errorf("%w: not in the image's file list", ErrInvalid)
	}
	u.mutex.Lock()
	defer u.mutex.Unlock()
	if u.written[name] {
		return File{}, fmt.Errorf("%w: in the image twice", ErrInvalid)
	}
	u.written[name] = true
	return file, u.root.MkdirAll(path.Dir(name), 0o755)
}

func (u *unpacker) write(file File, content io.Reader) error {
	target, err := u.root.OpenFile(file.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = copyIn(target, content)
	if err == nil {
		err = errors.Join(target.Chmod(file.Mode), u.settle(target))
	}
	return errors.Join(err, target.Close())
}

func (u *unpacker) settle(file *os.File) error {
	if u.lazy {
		return nil
	}
	return file.Sync()
}

// settleDirectories makes the names durable; the files themselves were synced when written.
func (u *unpacker) settleDirectories() error {
	if u.lazy {
		return nil
	}
	return syncDirectories(u.root)
}

func (u *unpacker) link(file File, target string) error {
	target = strings.TrimPrefix(target, "./")
	linked, listed := u.files[target]
	if !listed || linked.SHA256 != file.SHA256 || linked.Mode != file.Mode || linked.Size != file.Size {
		return fmt.Errorf("%w: a hard link to %q, which is not listed as the same content", ErrInvalid, target)
	}
	return u.root.Link(target, file.Path)
}

// complete reports a listed file that no layer held.
func (u *unpacker) complete() error {
	for name := range u.files {
		if !u.written[name] {
			return fmt.Errorf("%w: no layer holds %s, which the image lists", ErrInvalid, name)
		}
	}
	return nil
}

// syncDirectories makes the names in and below a directory durable.
func syncDirectories(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncPath(root, name)
	})
}

// syncPath makes durable what is in a file or a directory.
func syncPath(root *os.Root, name string) error {
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
