package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	maxFailures  = 5 // in a row, without a byte received between them: about 4 s of waiting
	firstWait    = 250 * time.Millisecond
	maxSilence   = 10 * time.Second // an endpoint that does not answer at all is told of sooner than after maxFailures
	stallTimeout = 30 * time.Second
)

// errTransient is an ErrUnreachable worth another attempt.
var errTransient = fmt.Errorf("%w", ErrUnreachable)

// retry calls f until it succeeds, fails for good, or has failed too often or for too long. The caller tries again
// later, and tells its users why meanwhile.
func retry(ctx context.Context, wait waiter, f func() error) error {
	began := time.Now()
	for failures := 0; ; {
		err := f()
		if err == nil || !errors.Is(err, errTransient) {
			return err
		}
		if failures++; failures >= maxFailures || time.Since(began) >= maxSilence {
			return err
		}
		if waited := wait(ctx, failures); waited != nil {
			return waited
		}
	}
}

// waiter waits after the nth failure in a row, or until the context ends.
type waiter func(ctx context.Context, failures int) error

func exponential(ctx context.Context, failures int) error {
	timer := time.NewTimer(firstWait << (failures - 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// resumingReader reads a blob of a known size and carries on where a broken connection stopped.
type resumingReader struct {
	ctx    context.Context
	open   func(ctx context.Context, offset int64) (io.ReadCloser, error)
	wait   waiter
	size   int64
	offset int64

	body     io.ReadCloser
	cancel   context.CancelFunc
	stall    *time.Timer
	failures int
}

func (r *resumingReader) Read(buffer []byte) (int, error) {
	for {
		if r.offset >= r.size {
			return 0, io.EOF // more than size is never read, so a longer blob fails its digest
		}
		n, err := r.attempt(buffer)
		if n > 0 {
			r.failures = 0
			return n, nil // an error beside bytes comes back on the next read
		}
		if err == nil {
			continue
		}
		_ = r.Close()
		if !errors.Is(err, errTransient) {
			return 0, err
		}
		if r.failures++; r.failures >= maxFailures {
			return 0, err
		}
		if err := r.wait(r.ctx, r.failures); err != nil {
			return 0, err
		}
	}
}

// attempt reads once from the current connection, or from a new one.
func (r *resumingReader) attempt(buffer []byte) (int, error) {
	if err := r.connect(); err != nil {
		return 0, err
	}
	r.stall.Reset(stallTimeout)
	if left := r.size - r.offset; int64(len(buffer)) > left {
		buffer = buffer[:left]
	}
	n, err := r.body.Read(buffer)
	r.offset += int64(n)
	if err == nil || n > 0 {
		return n, nil
	}
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, fmt.Errorf("%w: the connection broke after %d of %d bytes: %w", errTransient, r.offset, r.size, err)
}

func (r *resumingReader) connect() error {
	if r.body != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(r.ctx)
	body, err := r.open(ctx, r.offset)
	if err != nil {
		cancel()
		return err
	}
	r.body, r.cancel, r.stall = body, cancel, time.AfterFunc(stallTimeout, cancel)
	return nil
}

// Close drops the connection; another Read would open a new one.
func (r *resumingReader) Close() error {
	if r.body == nil {
		return nil
	}
	r.stall.Stop()
	r.cancel()
	err := r.body.Close()
	r.body = nil
	return err
}
