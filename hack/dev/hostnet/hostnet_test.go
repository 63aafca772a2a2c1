package hostnet_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/dev/hostnet"
)

// inNamespace gives the test, on its thread, a network of its own, which is gone with the thread.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make a network namespace, which takes root: %v", err)
	}
}

func TestRestoreSysctl(t *testing.T) {
	const name = "net.ipv4.ip_default_ttl"
	tests := map[string]struct {
		reason         string
		now, set, want string
	}{
		"still as it was set":     {reason: "The change was ours.", now: "70", set: "70", want: "64"},
		"changed again since":     {reason: "Somebody else wants another value.", now: "80", set: "70", want: "80"},
		"never set":               {reason: "The run ended before that.", now: "64", set: "70", want: "64"},
		"set to what it was once": {reason: "Nothing is to be done.", now: "64", set: "64", want: "64"},
	}
	for testName, tc := range tests {
		t.Run(testName, func(t *testing.T) {
			inNamespace(t)
			if err := hostnet.SetSysctl(name, tc.now); err != nil {
				t.Fatal(err)
			}
			if err := hostnet.RestoreSysctl(name, tc.set, "64"); err != nil {
				t.Fatal(err)
			}
			if got, err := hostnet.Sysctl(name); err != nil || got != tc.want {
				t.Errorf("%s = %s (%v), want %s: %s", name, got, err, tc.want, tc.reason)
			}
		})
	}
}

func TestRestoreSysctlThatIsGone(t *testing.T) {
	if err := hostnet.RestoreSysctl("net.ipv4.no_such_parameter", "1", "0"); err != nil {
		t.Errorf("RestoreSysctl of a parameter that went with its module: %v", err)
	}
}
