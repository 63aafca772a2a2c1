package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

const (
	parallelLayers  = 2
	temporaryPrefix = ".tmp-"
	// fetchMemory is how much memory a fetch may have beside what the program is bounded to, in bytes: the windows of the
	// decompressors. Within a bound that they fill, the runtime would collect garbage without end.
	fetchMemory = 24 << 20
)

// fetch brings a bundle from its registry into Root, under the store's lock.
func (s *Store) fetch(ctx context.Context, reference name.Digest, digest v1.Hash) (*Bundle, error) {
	defer makeRoom()()
	start := time.Now()
	var remote *registry
	var found *image
	err := retry(ctx, s.waiter(), func() (err error) {
		if remote == nil {
			if remote, err = connect(ctx, reference, s.roots()); err != nil {
				return err
			}
		}
		found, err = describe(ctx, remote, digest)
		return err
	})
	if remote != nil {
		defer remote.close()
	}
	if err != nil {
		return nil, err
	}
	bundle, err := s.unpack(ctx, remote, found)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // the decompressors' windows are larger than the agent itself
	s.Log.Info("Fetched bundle", "image", reference.String(), "bytes", found.size(), "took", time.Since(start).Round(time.Millisecond).String())
	return bundle, nil
}

// makeRoom raises the program's bound on memory, if it has one, until what it returns is called.
func makeRoom() (done func()) {
	limit := debug.SetMemoryLimit(-1)
	if limit > math.MaxInt64-fetchMemory {
		return func() {}
	}
	debug.SetMemoryLimit(limit + fetchMemory)
	return func() { debug.SetMemoryLimit(limit) }
}

// describe reads what the digest says of the image, before any layer is asked for.
func describe(ctx context.Context, remote *registry, digest v1.Hash) (*image, error) {
	rawManifest, err := remote.manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	manifest, err := parseManifest(digest, rawManifest)
	if err != nil {
		return nil, err
	}
	rawConfig, err := remote.config(ctx, manifest.Config.Digest)
	if err != nil {
		return nil, err
	}
	return parseImage(digest, rawManifest, rawConfig)
}

// unpack makes the bundle in a temporary directory and gives it its name once it is whole and durable.
func (s *Store) unpack(ctx context.Context, remote *registry, found *image) (*Bundle, error) {
	temporary, err := os.MkdirTemp(s.Root, temporaryPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory to unpack into: %w", err)
	}
	defer func() { _ = os.RemoveAll(temporary) }() // gone already when all went well
	if err := s.fill(ctx, temporary, remote, found); err != nil {
		return nil, err
	}
	final := s.path(found.digest)
	if err := s.replace(temporary, final); err != nil {
		return nil, err
	}
	if imprints, err := fingerprint(final, found); err == nil {
		s.remember(final, found.digest, proof{Boot: s.unsettled(), Files: imprints})
	}
	return &Bundle{Digest: found.digest.String(), Dir: final, Versions: found.versions(), files: found.files}, nil
}

func (s *Store) fill(ctx context.Context, dir string, remote *registry, found *image) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	target := &unpacker{root: root, lazy: s.Lazy, files: found.files, written: map[string]bool{}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLayers)
	for i, layer := range found.manifest.Layers {
		group.Go(func() error {
			if err := s.layer(ctx, target, remote, layer); err != nil {
				return fmt.Errorf("layer %d (%s): %w", i, layer.Digest, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(target.complete(), target.metadata(found), root.Chmod(".", 0o755), target.settleDirectories())
}

func (s *Store) layer(ctx context.Context, target *unpacker, remote *registry, layer v1.Descriptor) error {
	source := &resumingReader{ctx: ctx, wait: s.waiter(), size: layer.Size,
		open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return remote.blob(ctx, layer, offset)
		}}
	defer func() { _ = source.Close() }()
	return target.layer(source, layer)
}

// replace renames a finished directory to its final name; what was there, a broken bundle, goes out of the way first.
func (s *Store) replace(temporary, final string) error {
	broken := temporary + "-broken"
	if err := os.Rename(final, broken); err == nil {
		defer func() { _ = os.RemoveAll(broken) }()
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(temporary, final); err != nil || s.Lazy {
		return err
	}
	return s.settleRoot()
}

// settleRoot makes the names of the bundles durable.
func (s *Store) settleRoot() error {
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return syncPath(root, ".")
}

// sweep removes what a killed fetch left behind. The lock is held, so none of it is in use; and no link is made meanwhile, for which
// nobody needs the lock.
func (s *Store) sweep() error {
	pointing.Lock()
	defer pointing.Unlock()
	entries, err := os.ReadDir(s.Root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporaryPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.Root, entry.Name())))
		}
	}
	return err
}
