package bundle

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Store is the bundles of one machine.
type Store struct {
	// Root is the store's own directory; it is made when missing.
	Root string
	// Shared are directories of unpacked bundles that others fill; a bundle found there is verified and used in
	// place. They may be read-only, and need not exist.
	Shared []string
	// Roots returns the certificate authorities a registry may be signed by; nil means the system's. It is called only
	// when something is fetched: reading the system's takes longer than looking at a bundle that is there.
	Roots func() *x509.CertPool
	// Lazy leaves it to the kernel when what is fetched reaches the disk, for which a slow machine waits a fifth of the fetch. What
	// a power cut breaks before Settle is found out after it, as every bundle is proved once after such a boot, and fetched again.
	Lazy bool
	// Log receives what was fetched and what was found broken.
	Log logr.Logger

	wait waiter // between attempts; nil means exponential
	proc string // nil means /proc
}

// Ensure returns the bundle that the image reference names, by digest, and fetches it if it is neither in Root nor in
// a Shared directory. It is safe to kill at any moment, and to call from several processes.
//
// The error wraps ErrInvalid, ErrNotFound, ErrUnreachable or ErrDigestMismatch, or is the context's or the disk's own.
func (s *Store) Ensure(ctx context.Context, image string) (*Bundle, error) {
	reference, digest, err := parse(image)
	if err != nil {
		return nil, err
	}
	if bundle := s.find(digest); bundle != nil {
		return bundle, nil
	}
	bundle, err := s.fetchLocked(ctx, reference, digest)
	if err != nil {
		return nil, fmt.Errorf("fetch bundle %s: %w", image, err)
	}
	return bundle, nil
}

// Has says whether Ensure would find the bundle here, and fetch nothing.
func (s *Store) Has(image string) bool {
	_, digest, err := parse(image)
	return err == nil && s.find(digest) != nil
}

func parse(image string) (name.Digest, v1.Hash, error) {
	reference, err := name.NewDigest(image, name.StrictValidation)
	if err != nil {
		return name.Digest{}, v1.Hash{}, fmt.Errorf("%w: image %q: name it by digest, registry/repository@sha256:…: %w", ErrInvalid, image, err)
	}
	digest, err := v1.NewHash(reference.DigestStr())
	if err != nil {
		return name.Digest{}, v1.Hash{}, fmt.Errorf("%w: image %q: %w", ErrInvalid, image, err)
	}
	return reference, digest, nil
}

// find looks on disk. A bundle that is there but broken is reported and passed over.
func (s *Store) find(digest v1.Hash) *Bundle {
	for _, root := range append([]string{s.Root}, s.Shared...) {
		dir := filepath.Join(root, digest.Hex)
		bundle, err := s.open(dir, digest)
		if err == nil {
			return bundle
		}
		if _, missing := os.Lstat(dir); !errors.Is(missing, fs.ErrNotExist) {
			s.Log.Error(err, "Found a broken bundle on disk; looking for it elsewhere", "directory", dir)
		}
	}
	return nil
}

func (s *Store) fetchLocked(ctx context.Context, reference name.Digest, digest v1.Hash) (*Bundle, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("remove what an earlier fetch left: %w", err)
	}
	if bundle, err := s.open(s.path(digest), digest); err == nil {
		return bundle, nil // another process was faster
	}
	return s.fetch(ctx, reference, digest)
}

func (s *Store) path(digest v1.Hash) string { return filepath.Join(s.Root, digest.Hex) }

func (s *Store) roots() *x509.CertPool {
	if s.Roots == nil {
		return nil
	}
	return s.Roots()
}

func (s *Store) waiter() waiter {
	if s.wait != nil {
		return s.wait
	}
	return exponential
}
