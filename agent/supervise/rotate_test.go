package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRotationKeepsTheProcessWriting(t *testing.T) {
	b := newBench(t)
	b.opts.Rotation = Rotation{MaxBytes: 2000, Keep: 2, Every: 5 * time.Millisecond}
	p := b.shell("talker", "i=0; while :; do i=$((i+1)); echo line-$i-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; sleep 0.001; done")
	s, _ := b.start(p)
	pid := runs(t, s, "talker")
	eventually(t, "two old logs are kept", func() bool {
		return strings.HasPrefix(lastLine(p.LogFile+".2"), "line-") && strings.HasPrefix(lastLine(p.LogFile+".1"), "line-")
	})
	eventually(t, "the log is small again and written to", func() bool {
		info, err := os.Stat(p.LogFile)
		return err == nil && info.Size() > 0 && info.Size() < 2000
	})
	if got := runs(t, s, "talker"); got != pid {
		t.Error("rotation restarted the process")
	}
	if _, err := os.Stat(p.LogFile + ".3"); err == nil {
		t.Error("a third old log is kept, want two")
	}
	if strings.Contains(read(p.LogFile), "\x00") {
		t.Error("the process writes beyond the cut: its log has a hole")
	}
}

func TestRotateLeavesASmallOrMissingLogAlone(t *testing.T) {
	r := Rotation{MaxBytes: 10}.withDefaults()
	path := filepath.Join(t.TempDir(), "log")
	if err := r.rotate(path, path); err != nil {
		t.Errorf("a missing log: %v", err)
	}
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.rotate(path, path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("%s.%d", path, 1)); err == nil || read(path) != "0123456789" {
		t.Error("a log at its limit was rotated")
	}
}

func TestALogThatCannotBeKeptIsCutAndTheOldOnesStay(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("drover-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("a full disk takes a mount, and so root:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "log")
	for name, content := range map[string]string{path + ".1": "one", path + ".2": "two", path: strings.Repeat("x", 40<<10)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := Rotation{MaxBytes: 10}.withDefaults()
	if err := r.rotate(path, path); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, want what was lost and why", err)
	}
	for name, want := range map[string]string{path: "", path + ".1": "one", path + ".2": "two", path + ".3": ""} {
		if got := read(name); got != want {
			t.Errorf("%s has %d bytes, want %q", filepath.Base(name), len(got), want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("the directory has %v (%v), want the log and its two old parts", entries, err)
	}
}

func TestAnOpenFileIsRotatedWhereItsNameIsOutOfSight(t *testing.T) {
	dir := t.TempDir()
	console := filepath.Join(dir, "console.log")
	file, err := os.OpenFile(console, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if !isAppendedTo(file) {
		t.Error("a file that is appended to is not seen as one")
	}
	hidden := filepath.Join(dir, "hidden")
	if err := os.Rename(console, hidden); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "log", "agent.log")
	r := Rotation{MaxBytes: 3, Keep: 2}.withDefaults()
	for _, line := range []string{"first", "second", "third", "end"} {
		if _, err := file.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if err := r.rotate(openFile(file), base); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{hidden: "end", base + ".1": "third", base + ".2": "second", base + ".3": ""} {
		if got := read(path); got != want {
			t.Errorf("%s has %q, want %q", filepath.Base(path), got, want)
		}
	}
}

func TestOnlyAFileThatIsAppendedToIsCut(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]*os.File{"a pipe": out, "a file that is written at an offset": plain} {
		if isAppendedTo(file) {
			t.Errorf("%s would be cut", name)
		}
		_ = file.Close()
	}
	_ = in.Close()
}

func lastLine(path string) string {
	lines := strings.Split(strings.TrimSpace(read(path)), "\n")
	return lines[len(lines)-1]
}
