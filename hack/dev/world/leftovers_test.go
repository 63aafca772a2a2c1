package world

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOurs(t *testing.T) {
	tests := map[string]struct {
		reason string
		link   string
		want   bool
	}{
		"the bridge":               {reason: "The world makes it.", link: "drover0", want: true},
		"a machine's":              {reason: "It is named by a digest.", link: "drv0123456789ab", want: true},
		"another bridge":           {reason: "Somebody calls theirs nearly the same.", link: "drv-lan"},
		"a virtual machine's":      {reason: "It is attached to the world's bridge.", link: "drover-vm0a1b2c", want: true},
		"a tap":                    {reason: "It is a virtual machine's of somebody else's.", link: "drvtap0"},
		"one that is no digest":    {reason: "It has the length of a machine's.", link: "drvwireguard-01"},
		"one that only ends alike": {reason: "The prefix is ours as well.", link: "xdrv0123456789a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ours(tc.link); got != tc.want {
				t.Errorf("ours(%s) = %t, want %t: %s", tc.link, got, tc.want, tc.reason)
			}
		})
	}
}

// A paused container's processes are frozen, and with cgroup v1 a frozen process does not even take SIGKILL.
func TestKillCgroupThaws(t *testing.T) {
	dir := t.TempDir()
	container := filepath.Join(dir, "machine", "container")
	if err := os.MkdirAll(container, 0o755); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(container, "freezer.state")
	if err := os.WriteFile(state, []byte("FROZEN"), 0o600); err != nil {
		t.Fatal(err)
	}
	killCgroup(dir)
	if got, err := os.ReadFile(state); err != nil || string(got) != "THAWED" {
		t.Errorf("freezer.state is %q (%v), want THAWED", got, err)
	}
}
