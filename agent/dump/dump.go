// Package dump reads the kernel's tables of links, addresses and routes as a whole.
//
// The kernel hands such a table out in parts and says when it changed between two of them: some entries may then be
// missing or there twice. On a node where pods come and go that is nothing out of the ordinary, and no failure.
package dump

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// tries is how often a table is read before its changes are taken for a failure. One reading takes less than a
// millisecond, a pod that starts makes a handful of changes.
const tries = 10

// Whole calls list until no change interrupted it, and returns what it said last.
func Whole[T any](list func() ([]T, error)) ([]T, error) {
	for range tries - 1 {
		if found, err := list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return found, err
		}
	}
	return list()
}
