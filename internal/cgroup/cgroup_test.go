package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/test/limits"
)

// A freezer is a hierarchy whose cgroups can be frozen.
type freezer struct{ mount, file, frozen, isFrozen string }

func freezers(t *testing.T) []freezer {
	t.Helper()
	found := slices.DeleteFunc([]freezer{
		{"/sys/fs/cgroup", "cgroup.freeze", "1", "1"},
		{"/sys/fs/cgroup/unified", "cgroup.freeze", "1", "1"},
		{"/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "FROZEN"},
	}, func(f freezer) bool {
		_, err := os.Stat(filepath.Join(f.mount, "cgroup.procs"))
		return err != nil
	})
	if len(found) == 0 {
		t.Fatal("there is no hierarchy of cgroups")
	}
	return found
}

// each runs a test in each of the host's hierarchies that can freeze.
func each(t *testing.T, test func(*testing.T, freezer)) {
	t.Helper()
	for _, f := range freezers(t) {
		t.Run(strings.ReplaceAll(f.mount, "/", "_"), func(t *testing.T) { test(t, f) })
	}
}

func (f freezer) freeze(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, f.file)
	if err := os.WriteFile(path, []byte(f.frozen), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, dir+" is frozen", func() bool {
		state, err := os.ReadFile(path)
		return err == nil && strings.TrimSpace(string(state)) == f.isFrozen
	})
}

// made makes the test's cgroup in a hierarchy, with one below it, which end with the test.
func made(t *testing.T, mount string) (root, inner string) {
	t.Helper()
	root = filepath.Join(mount, fmt.Sprintf("drover-test-%d", os.Getpid()))
	inner = filepath.Join(root, "pod", "container")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := Remove(ctx, root); err != nil {
			t.Error(err)
		}
	})
	return root, inner
}

// sleeper is a process in some cgroups. The channel closes when it has ended.
func sleeper(t *testing.T, dirs ...string) (pid int, ended <-chan struct{}) {
	t.Helper()
	process := exec.Command("/bin/sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = process.Wait() }()
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_, _, _ = Kill(dirs...) // for it may be frozen
		<-gone
	})
	for _, dir := range dirs {
		enter(t, dir, process.Process.Pid)
	}
	return process.Process.Pid, gone
}

func enter(t *testing.T, dir string, pid int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

func gone(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the process has not ended")
	}
}

func TestWhatIsFrozenIsEndedAndRemoved(t *testing.T) {
	each(t, func(t *testing.T, f freezer) {
		root, inner := made(t, f.mount)
		_, ended := sleeper(t, inner)
		f.freeze(t, filepath.Dir(inner)) // from above: to thaw the innermost alone is of no use
		if err := Remove(t.Context(), root, filepath.Join(f.mount, "drover-test-none")); err != nil {
			t.Fatal(err)
		}
		gone(t, ended)
		if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the cgroup is left (%v)", err)
		}
	})
}

// It may have been asked for by another who paused the container, just then.
func TestWhatIsFrozenAnewIsThawedAnew(t *testing.T) {
	each(t, func(t *testing.T, f freezer) {
		_, inner := made(t, f.mount)
		for range 2 {
			pid, ended := sleeper(t, inner)
			f.freeze(t, inner)
			found, killed, err := Kill(inner)
			if err != nil || !slices.Equal(found, []int{pid}) || !slices.Equal(killed, []int{pid}) {
				t.Errorf("found %v, killed %v (%v), want %d", found, killed, err, pid)
			}
			gone(t, ended)
		}
	})
}

func TestAProcessThatIsFrozenInOneHierarchyIsEndedInAll(t *testing.T) {
	const other = "/sys/fs/cgroup/pids"
	each(t, func(t *testing.T, f freezer) {
		if _, err := os.Stat(other + "/cgroup.procs"); err != nil {
			return // with version 2 there is one hierarchy alone
		}
		first, beside := made(t, other)
		second, inner := made(t, f.mount)
		_, ended := sleeper(t, beside, inner)
		f.freeze(t, inner)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := Remove(ctx, first, second); err != nil {
			t.Error(err)
		}
		gone(t, ended)
	})
}

func TestThisProcessIsSparedAndSoIsItsCgroup(t *testing.T) {
	each(t, func(t *testing.T, f freezer) {
		before := own(t, f)
		root, inner := made(t, f.mount)
		pid, ended := sleeper(t, inner)
		enter(t, root, os.Getpid())
		t.Cleanup(func() { enter(t, before, os.Getpid()) })
		found, _, err := Kill(root) // on version 2, to end the cgroup as a whole would end this test
		if err != nil || !slices.Equal(found, []int{pid}) {
			t.Errorf("found %v (%v), want %d", found, err, pid)
		}
		gone(t, ended)
		if err := RemoveEmpty(root); !errors.Is(err, unix.EBUSY) {
			t.Errorf("got %v, want that a process is in the way", err)
		}
	})
}

// own is this process's cgroup in a hierarchy, see cgroups(7).
func own(t *testing.T, f freezer) string {
	t.Helper()
	lines, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	controller := ""
	if f.file == "freezer.state" {
		controller = "freezer"
	}
	for line := range strings.Lines(string(lines)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && parts[1] == controller {
			return filepath.Join(f.mount, parts[2])
		}
	}
	t.Fatalf("this process is in no cgroup of %s:\n%s", f.mount, lines)
	return ""
}

func TestRemoveGivesUpWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, f freezer) {
		before := own(t, f)
		root, _ := made(t, f.mount)
		enter(t, root, os.Getpid())
		t.Cleanup(func() { enter(t, before, os.Getpid()) })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := Remove(ctx, root); !errors.Is(err, unix.EBUSY) {
			t.Errorf("got %v, want that a process is in the way", err)
		}
	})
}

func TestWhatCannotBeLookedAtIsNotTakenForEmpty(t *testing.T) {
	_, inner := made(t, freezers(t)[0].mount)
	pid, _ := sleeper(t, inner)
	for name, look := range map[string]func() error{
		"the processes": func() error { _, _, err := Kill(inner); return err },
		"the cgroups":   func() error { return RemoveEmpty(inner) },
	} {
		var err error
		limits.WithoutFiles(t, func() { err = look() })
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: got %v without a file to look with, want that", name, err)
		}
	}
	if procs, err := os.ReadFile(filepath.Join(inner, "cgroup.procs")); err != nil || !bytes.Contains(procs, []byte(strconv.Itoa(pid))) {
		t.Errorf("the cgroup has %q (%v), want %d in it", procs, err, pid)
	}
}
