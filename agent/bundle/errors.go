package bundle

import "errors"

// What a fetch can fail of, for errors.Is. The error that wraps one of them says what to do.
var (
	// ErrInvalid is an image reference that is no digest, or an image that is no bundle.
	ErrInvalid = errors.New("not a bundle")
	// ErrNotFound is an image that the registry does not have.
	ErrNotFound = errors.New("not found")
	// ErrUnreachable is a registry that did not answer, could not be trusted, or refused.
	ErrUnreachable = errors.New("unreachable")
	// ErrDigestMismatch is content that is not what its digest says.
	ErrDigestMismatch = errors.New("digest mismatch")
)
