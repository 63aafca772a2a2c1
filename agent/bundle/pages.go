package bundle

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A program costs a node what the kernel maps of its file, and that is by folio, the page cache's unit, which may be
// 2 MB: then a process that touches one function has all around it. How large the folios become is decided when the
// file comes into the cache, by the sizes of writes or by reading ahead. So what passes through here is written and
// read such that the folios stay below what the kernel maps around a fault anyway (fault_around_bytes, 64 KiB).
const (
	writeSize = 32 << 10
	readSize  = 1 << 20
)

// copyIn writes a file's content.
func copyIn(file io.Writer, content io.Reader) (int64, error) {
	return io.CopyBuffer(writeOnly{file}, readOnly{content}, make([]byte, writeSize))
}

// copyOut reads a file's content. Reads declared to be random are not read ahead of, so they are large ones.
func copyOut(content io.Writer, file *os.File) (int64, error) {
	// A hint: where the kernel will not take it, the program only costs more.
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_RANDOM)
	return io.CopyBuffer(writeOnly{content}, readOnly{file}, make([]byte, readSize))
}

// readOnly and writeOnly hide a type's own ways of copying, which would pass by the buffer.
type (
	readOnly  struct{ io.Reader }
	writeOnly struct{ io.Writer }
)
