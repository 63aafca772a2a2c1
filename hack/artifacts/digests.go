package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drover-dev/drover/internal/atomicfile"
)

const digestsFile = "digests.json"

// digests map a repository to the digest of the image that was made for it last.
type digests map[string]string

// collected gathers digests from several goroutines.
type collected struct {
	mutex sync.Mutex
	all   digests
}

func newDigests() *collected { return &collected{all: digests{}} }

func (c *collected) set(repository string, digest v1.Hash, err error) error {
	if err != nil {
		return describe(repository, err)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.all[repository] = digest.String()
	return nil
}

// report prints the digests and adds them to digests.json, which samples are rendered from.
func (d digests) report(w io.Writer, out string) error {
	path := filepath.Join(out, digestsFile)
	all := digests{}
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &all)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read %s: %w: remove it and build again", path, err)
	}
	maps.Copy(all, d)
	for _, repository := range slices.Sorted(maps.Keys(d)) {
		if _, err := fmt.Fprintf(w, "%s@%s\n", repository, d[repository]); err != nil {
			return err
		}
	}
	if content, err = json.MarshalIndent(all, "", "  "); err != nil {
		return err
	}
	return atomicfile.Replace(path, bytes.NewReader(append(content, '\n')), 0o644)
}
