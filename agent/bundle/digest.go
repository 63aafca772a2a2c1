package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// proved checks a document that is small enough to be in memory.
func proved(want v1.Hash, content []byte) error {
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); want.Algorithm != "sha256" || got != want.Hex {
		return fmt.Errorf("%w: want %s, got sha256:%s", ErrDigestMismatch, want, got)
	}
	return nil
}

// provingReader hashes what passes through it.
type provingReader struct {
	source io.Reader
	hash   hash.Hash
	failed error // the source's own failure, as told apart from what a decoder makes of bad content
}

func newProvingReader(source io.Reader) *provingReader {
	return &provingReader{source: source, hash: sha256.New()}
}

func (p *provingReader) Read(buffer []byte) (int, error) {
	n, err := p.source.Read(buffer)
	p.hash.Write(buffer[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		p.failed = err
	}
	return n, err
}

// prove reads to the end and compares the digest of all that was read.
func (p *provingReader) prove(want v1.Hash) error {
	if p.failed != nil {
		return p.failed
	}
	if _, err := io.Copy(io.Discard, p); err != nil {
		return err
	}
	if got := hex.EncodeToString(p.hash.Sum(nil)); got != want.Hex {
		return fmt.Errorf("%w: want %s, got sha256:%s", ErrDigestMismatch, want, got)
	}
	return nil
}
