// Package netspace has tests run in a network namespace of their own.
package netspace

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
)

// Enter runs the rest of the test on a thread in a network namespace of its own, which has no name, and nothing but a loopback
// that is down. It is gone with the thread's return. It needs root.
func Enter(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	inside, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(before); err != nil {
			t.Error(err) // the thread stays locked and dies with the goroutine
			return
		}
		_, _ = before.Close(), inside.Close()
		runtime.UnlockOSThread()
	})
}
