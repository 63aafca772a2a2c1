package trace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSnapshotsOfAnUntouchedHostAreEqual(t *testing.T) {
	dir := t.TempDir()
	untilDifference(t, nil, func() []string {
		before := take(t, dir)
		return take(t, dir).Since(before)
	})
}

func TestAProcessLeftBehindIsSeen(t *testing.T) {
	leave(t, "sleeper", "+ process sleep: %s 60 ")
}

func TestALinterBesideTheTestsIsNotLeftByThem(t *testing.T) {
	leave(t, "golangci-lint")
}

// leave starts a program of a directory between two snapshots, whose difference must be what is wanted.
func leave(t *testing.T, name string, want ...string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, name)
	if err := os.Symlink("/bin/sleep", program); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i] = fmt.Sprintf(want[i], program)
	}
	untilDifference(t, want, func() []string {
		before := take(t, dir)
		process := exec.Command(program, "60")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = process.Process.Kill()
			_ = process.Wait()
		}()
		return take(t, dir).Since(before)
	})
}

// untilDifference looks again when another package's tests, which run beside these, did something to the host.
func untilDifference(t *testing.T, want []string, look func() []string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		diff := cmp.Diff(want, look(), cmpopts.EquateEmpty())
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the difference between the snapshots (-want +got):\n%s", diff)
		}
	}
}

func TestWhatIsMissingIsSeenToo(t *testing.T) {
	before := Snapshot{"link lo (device)": {}, "sysctl net/ipv4/ip_forward = 0": {}, "process etcd: of another's": {}}
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
