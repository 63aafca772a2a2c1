package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	refNameAnnotation = "org.opencontainers.image.ref.name"
	// maxManifest is the largest manifest or index served: the specification's own advice to registries.
	maxManifest = 4 << 20
)

// layout is one repository: an OCI image layout, confined to its directory (a link that leads out of it is an error).
type layout struct{ root *os.Root }

func openLayout(root, repository string) (*layout, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	repo, err := dir.OpenRoot(filepath.FromSlash(repository))
	if err != nil {
		return nil, err
	}
	if _, err := repo.Stat("index.json"); err != nil {
		_ = repo.Close()
		return nil, err
	}
	return &layout{root: repo}, nil
}

func (l *layout) close() { _ = l.root.Close() }

// index is what the repository offers, read anew each time so that a push by rename is seen at once.
func (l *layout) index() (*v1.IndexManifest, error) {
	content, err := l.root.ReadFile("index.json")
	if err != nil {
		return nil, err
	}
	index := &v1.IndexManifest{}
	if err := json.Unmarshal(content, index); err != nil {
		return nil, fmt.Errorf("parse index.json: %w", err)
	}
	return index, nil
}

// tags are the names in the index, sorted, each once.
func (l *layout) tags() ([]string, error) {
	index, err := l.index()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	tags := []string{}
	for _, manifest := range index.Manifests {
		if tag := manifest.Annotations[refNameAnnotation]; tag != "" && !seen[tag] {
			seen[tag] = true
			tags = append(tags, tag)
		}
	}
	sort.Strings(tags)
	return tags, nil
}

// resolve finds the digest of a tag. The last entry wins, as the newest push is appended.
func (l *layout) resolve(tag string) (v1.Hash, error) {
	index, err := l.index()
	if err != nil {
		return v1.Hash{}, err
	}
	for i := len(index.Manifests) - 1; i >= 0; i-- {
		if index.Manifests[i].Annotations[refNameAnnotation] == tag {
			return index.Manifests[i].Digest, nil
		}
	}
	return v1.Hash{}, fs.ErrNotExist
}

// manifest reads a manifest or index by digest. One that the index no longer lists is still served:
// nodes hold on to digests for longer than tags.
func (l *layout) manifest(digest v1.Hash) ([]byte, types.MediaType, error) {
	file, err := l.blob(digest)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || info.Size() > maxManifest {
		return nil, "", errors.Join(fs.ErrNotExist, err) // a blob, but no manifest
	}
	content, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err != nil {
		return nil, "", err
	}
	var head struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
	}
	if len(content) > maxManifest || json.Unmarshal(content, &head) != nil || head.SchemaVersion != 2 {
		return nil, "", fs.ErrNotExist // a blob, but no manifest
	}
	if head.MediaType == "" {
		head.MediaType = types.OCIManifestSchema1
	}
	return content, head.MediaType, nil
}

// blob opens a blob; the caller closes it.
func (l *layout) blob(digest v1.Hash) (*os.File, error) {
	file, err := l.root.Open(filepath.Join("blobs", digest.Algorithm, digest.Hex))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
