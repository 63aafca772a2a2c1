package trace

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSnapshotsOfAnUntouchedHostAreEqual(t *testing.T) {
	before := take(t, t.TempDir())
	if diff := take(t, t.TempDir()).Since(before); len(diff) != 0 {
		t.Errorf("nothing was done, yet: %q", diff)
	}
}

func TestAProcessLeftBehindIsSeen(t *testing.T) {
	dir := t.TempDir()
	before := take(t, dir)
	program := filepath.Join(dir, "sleeper")
	if err := os.Symlink("/bin/sleep", program); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(program, "60")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	want := []string{"+ process sleep: " + program + " 60 "}
	if diff := cmp.Diff(want, take(t, dir).Since(before)); diff != "" {
		t.Errorf("the difference between the snapshots (-want +got):\n%s", diff)
	}
}

func TestWhatIsMissingIsSeenToo(t *testing.T) {
	before := Snapshot{"link lo (device)": {}, "sysctl net/ipv4/ip_forward = 0": {}}
	after := Snapshot{"link lo (device)": {}, "sysctl net/ipv4/ip_forward = 1": {}}
	want := []string{"+ sysctl net/ipv4/ip_forward = 1", "- sysctl net/ipv4/ip_forward = 0"}
	if diff := cmp.Diff(want, after.Since(before)); diff != "" {
		t.Errorf("the difference between the snapshots (-want +got):\n%s", diff)
	}
}

func take(t *testing.T, dir string) Snapshot {
	t.Helper()
	snapshot, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}
