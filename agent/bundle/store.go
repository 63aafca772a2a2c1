package bundle

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/go-logr/logr"
)

// Store is the bundles of one machine.
type Store struct {
	// Root is the store's own directory; it is made when missing.
	Root string
	// Shared are directories of unpacked bundles that others fill; a bundle found there is verified and used in
	// place. They may be read-only, and need not exist.
	Shared []string
	// Roots are the certificate authorities a registry may be signed by; nil means the system's.
	Roots *x509.CertPool
	// Log receives what was fetched and what was found broken.
	Log logr.Logger
}

// Ensure returns the bundle that the image reference names, by digest, and fetches it if it is neither in Root nor in
// a Shared directory. It is safe to kill at any moment, and to call from several processes.
func (s *Store) Ensure(ctx context.Context, image string) (*Bundle, error) {
	return nil, errors.New("not implemented")
}

// Collect removes the bundles in Root that are neither kept (image references or digests) nor used by a running process.
func (s *Store) Collect(keep ...string) error {
	return nil
}
