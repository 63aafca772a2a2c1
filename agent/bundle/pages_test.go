package bundle

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// faultAround is what Linux maps around a page that a process touches, unless the page belongs to a larger folio.
const faultAround = 64 << 10

// A touched byte of a program must not bring in megabytes of it. On file systems without large folios this always holds.
func TestProgramsAreMappedInSmallParts(t *testing.T) {
	content := bytes.Repeat([]byte("drover"), 2<<20)
	path := filepath.Join(t.TempDir(), "kubelet")

	file, err := os.Create(path)
	must(t, err)
	_, err = copyIn(file, bytes.NewReader(content))
	must(t, err)
	must(t, file.Sync())
	must(t, file.Close())
	if got := mappedByOneByte(t, path); got > faultAround {
		t.Errorf("a byte touched after unpacking brings in %d bytes, want %d at most", got, faultAround)
	}

	uncache(t, path)
	must(t, hashFile(path, listed("kubelet", string(content))))
	if got := mappedByOneByte(t, path); got > faultAround {
		t.Errorf("a byte touched after hashing brings in %d bytes, want %d at most", got, faultAround)
	}
}

// uncache drops a file from the page cache.
func uncache(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	must(t, unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
	must(t, file.Close())
}

// mappedByOneByte is how much of a file the kernel maps when one byte in its middle is read.
func mappedByOneByte(t *testing.T, path string) int {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	info, err := file.Stat()
	must(t, err)
	memory, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	must(t, err)
	defer func() { must(t, unix.Munmap(memory)) }()
	if memory[len(memory)/2] == 0 {
		t.Fatal("the file's middle is empty")
	}
	return resident(t, path)
}

// resident is how much of a file this process has mapped in.
func resident(t *testing.T, path string) int {
	t.Helper()
	maps, err := os.Open("/proc/self/smaps")
	must(t, err)
	defer maps.Close()
	found := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		if strings.HasSuffix(line, " "+path) {
			found = true
		}
		var kilobytes int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kilobytes); found && err == nil {
			return kilobytes << 10
		}
	}
	t.Fatalf("%s is not mapped", path)
	return 0
}
