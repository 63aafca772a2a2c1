package diagnose

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// indexReserve is what is left of the limit for the index, which comes last.
const indexReserve = 64 << 10

// overhead is a tar header, the padding of its content and what compression may add.
const overhead = 2048

// file is one that is to be in the archive.
type file struct {
	name    string
	content []byte
	// tail says that the end is worth more than the beginning.
	tail bool
	// cut says that there was more.
	cut bool
}

// index is what the archive says of itself, in index.json.
type index struct {
	Node         string      `json:"node"`
	Time         time.Time   `json:"time"`
	AgentVersion string      `json:"agentVersion,omitempty"`
	LimitBytes   int64       `json:"limitBytes"`
	Files        []indexFile `json:"files"`
	// Missing is what could not be read, or had no room.
	Missing []Missing `json:"missing"`
}

type indexFile struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	// Cut says that the file on the node has more than this.
	Cut bool `json:"cut,omitempty"`
}

// archive is a gzipped tar that never becomes larger than its limit: what is put into it is counted before it is compressed.
type archive struct {
	dir     string
	room    int64
	tar     *tar.Writer
	gzip    *gzip.Writer
	written *counter
	files   []indexFile
	left    []Missing
}

type counter struct {
	io.Writer
	bytes int64
}

// Write counts what it passes on.
func (c *counter) Write(data []byte) (int, error) {
	n, err := c.Writer.Write(data)
	c.bytes += int64(n)
	return n, err
}

func newArchive(out io.Writer, dir string, limit int64) *archive {
	a := &archive{dir: dir, room: limit - indexReserve, written: &counter{Writer: out}}
	a.gzip = gzip.NewWriter(a.written)
	a.tar = tar.NewWriter(a.gzip)
	return a
}

// add puts a file in, redacted, as far as there is room.
func (a *archive) add(f file, hide func(string) string) error {
	content := hide(strings.ToValidUTF8(string(f.content), "?"))
	room := a.room - overhead
	if room < overhead && len(content) > 0 {
		a.left = append(a.left, Missing{What: f.name, Reason: "there was no room: the limit is reached"})
		return nil
	}
	if int64(len(content)) > room {
		f.cut = true
		if f.tail {
			content = content[int64(len(content))-room:]
		} else {
			content = content[:room]
		}
	}
	a.room -= int64(len(content)) + overhead
	a.files = append(a.files, indexFile{Name: f.name, Bytes: len(content), Cut: f.cut})
	return a.write(f.name, []byte(content))
}

func (a *archive) write(name string, content []byte) error {
	header := &tar.Header{Name: path.Join(a.dir, name), Mode: 0o600, Size: int64(len(content)), ModTime: time.Now()}
	if err := a.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write %s to the archive: %w", name, err)
	}
	if _, err := a.tar.Write(content); err != nil {
		return fmt.Errorf("write %s to the archive: %w", name, err)
	}
	return nil
}

// finish writes the index, which says what the archive has and what it has not.
func (a *archive) finish(i index) error {
	i.Files = a.files
	data, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the index: %w", err)
	}
	for len(data) > indexReserve-overhead && len(i.Files)+len(i.Missing) > 0 {
		i.Files, i.Missing = i.Files[:len(i.Files)/2], i.Missing[:len(i.Missing)/2]
		if data, err = json.MarshalIndent(i, "", "  "); err != nil {
			return fmt.Errorf("encode the index: %w", err)
		}
	}
	if err := a.write("index.json", append(data, '\n')); err != nil {
		return err
	}
	if err := a.tar.Close(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if err := a.gzip.Close(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
