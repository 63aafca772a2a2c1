package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// remember notes which blob has a content, so that it is not compressed anew for each image that has it.
func (l Layout) remember(content v1.Hash, compression Compression, blob v1.Descriptor) error {
	note, err := json.Marshal(blob)
	if err != nil {
		return err
	}
	path := l.note(content, compression)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeAtomically(path, note)
}

// recall finds the blob that has a content. It counts as written now, for Prune; one that is gone, or is not whole, or of which
// nothing is noted that can be read, is to be written.
func (l Layout) recall(content v1.Hash, compression Compression) (v1.Descriptor, bool) {
	note, err := os.ReadFile(l.note(content, compression))
	if err != nil {
		return v1.Descriptor{}, false
	}
	blob := v1.Descriptor{}
	if err := json.Unmarshal(note, &blob); err != nil {
		return v1.Descriptor{}, false
	}
	path, now := l.Blob(blob.Digest), time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		return v1.Descriptor{}, false
	}
	info, err := os.Stat(path)
	return blob, err == nil && info.Size() == blob.Size
}

// note is named after how a blob is compressed, so that another way makes another one.
func (l Layout) note(content v1.Hash, compression Compression) string {
	way := "gzip"
	if compression == Zstd {
		way = zstdLevel.String()
	}
	return filepath.Join(l.dir, "contents", fmt.Sprintf("%s-%s", way, content.Hex))
}
