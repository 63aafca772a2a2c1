package remote

import (
	"context"
	"errors"
	"fmt"
)

// Reasons of an Error. They are stable, and fit to be reasons of conditions.
const (
	// InvalidTarget: the target itself cannot be used, such as a pinned key that is none.
	InvalidTarget = "InvalidTarget"
	// Unreachable: nobody answers, a proxy refuses, the connection was lost, or what answers does not speak SSH.
	Unreachable = "Unreachable"
	// HostKeyMismatch: the host shows another key than the pinned ones, or a certificate that does not fit.
	HostKeyMismatch = "HostKeyMismatch"
	// HostKeyUnknown: there is nothing to check the host's key with.
	HostKeyUnknown = "HostKeyUnknown"
	// AuthenticationFailed: the host takes none of the keys for this user.
	AuthenticationFailed = "AuthenticationFailed"
	// SudoPasswordWrong: sudo does not take the password.
	SudoPasswordWrong = "SudoPasswordWrong"
	// SudoDenied: the user may not become root with sudo, or not without a password.
	SudoDenied = "SudoDenied"
	// JumpFailed: the jump host cannot be used; the message holds its own reason.
	JumpFailed = "JumpFailed"
	// Timeout: the host took the connection and then hangs, or the caller's time is over.
	Timeout = "Timeout"
	// CommandFailed: the command ran, and ended with another code than 0.
	CommandFailed = "CommandFailed"
)

// Error is why a host could not be reached or used.
type Error struct {
	// Reason is one of the constants above.
	Reason string
	// Message is a sentence for people: what happened, and what to do about it. It holds nothing secret.
	Message string
	// ExitCode is that of a command that failed; 128 and its number if a signal ended it.
	ExitCode int
	// Stderr is the end of what a command that failed said, at most 2 KiB.
	Stderr string

	cause error
}

// Error is the message behind its reason.
func (e *Error) Error() string { return e.Reason + ": " + e.Message }

// Unwrap is what lies beneath, if anything does.
func (e *Error) Unwrap() error { return e.cause }

// ReasonOf is the reason of an error that holds an Error, or empty.
func ReasonOf(err error) string {
	var typed *Error
	if errors.As(err, &typed) {
		return typed.Reason
	}
	return ""
}

func failure(reason, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Reason: reason, Message: wrapped.Error(), cause: errors.Unwrap(wrapped)}
}

// ended is the error for a context that is over. A cancellation is the caller's own wish, and has no reason of ours.
func ended(ctx context.Context, doing string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failure(Timeout, "%s: the time for it is over: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w", doing, ctx.Err())
}
