package bundle

import (
	"errors"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drover-dev/drover/internal/procfs"
)

// unsettled is the boot that a proof of what was fetched holds for, empty for ever after.
func (s *Store) unsettled() string {
	if !s.Lazy {
		return ""
	}
	return bootID()
}

// maybeUnsettled is the boot that a proof of what was found, and read, holds for. It may be what an agent fetched that ended before it
// took that down, or what somebody touched before it was settled: then what was read may be in the kernel's cache alone.
func (s *Store) maybeUnsettled(dir string, digest v1.Hash) string {
	switch then, err := s.proofOf(dir, digest); {
	case dir != s.path(digest): // others filled it
		return ""
	case err == nil && then.Boot == bootID():
		return then.Boot
	default:
		return s.unsettled()
	}
}

// bootID tells the kernel's boots apart, and so what may still be in its cache alone.
func bootID() string {
	id, _ := procfs.BootID()
	return id
}

// Settle makes a bundle durable that was fetched lazily. Nothing is written for one that is, or that others filled.
func (s *Store) Settle(b *Bundle) error {
	digest, err := v1.NewHash(b.Digest)
	if err != nil {
		return err
	}
	p, unproved := s.proofOf(b.Dir, digest)
	if b.Dir != s.path(digest) || unproved == nil && p.Boot == "" {
		return nil
	}
	root, err := os.OpenRoot(b.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := errors.Join(syncTree(root), s.settleRoot()); err != nil {
		return err
	}
	if unproved == nil {
		s.remember(b.Dir, digest, proof{Files: p.Files})
	}
	return nil
}

// syncTree makes durable all that a bundle is made of, which are files and directories.
func syncTree(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		return syncPath(root, name)
	})
}
