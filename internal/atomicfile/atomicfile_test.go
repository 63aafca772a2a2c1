package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestOnlyADifferenceIsWritten(t *testing.T) {
	for name, write := range map[string]func(string, []byte, os.FileMode) (bool, error){
		"WriteIfChanged": WriteIfChanged, "WriteDerived": WriteDerived,
	} {
		t.Run(name, func(t *testing.T) { onlyADifferenceIsWritten(t, write) })
	}
}

func onlyADifferenceIsWritten(t *testing.T, write func(string, []byte, os.FileMode) (bool, error)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sub", "file")
	steps := []struct {
		reason string
		data   string
		mode   os.FileMode
		wrote  bool
	}{
		{"a missing file is made, with its directory", "one", 0o600, true},
		{"the same content and mode is left alone", "one", 0o600, false},
		{"other content of the same length is written", "two", 0o600, true},
		{"another mode is a difference", "two", 0o644, true},
	}
	for _, step := range steps {
		wrote, err := write(path, []byte(step.data), step.mode)
		if err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		if wrote != step.wrote {
			t.Errorf("%s: wrote = %v, want %v", step.reason, wrote, step.wrote)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != step.data || info.Mode().Perm() != step.mode {
			t.Errorf("%s: got %q %v, want %q %v", step.reason, got, info.Mode().Perm(), step.data, step.mode)
		}
	}
}

func TestAContentThatEndsInAnErrorIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Replace(path, strings.NewReader("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke off")
	if err := Replace(path, io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken)), 0o600); !errors.Is(err, broken) {
		t.Errorf("got %v, want the source's error", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("got %q (%v), want what was there", got, err)
	}
	if left := names(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%v are left, want the file alone", left)
	}
}

func TestReplaceMakesNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "file")
	if err := Replace(path, strings.NewReader("x"), 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that there is no such directory", err)
	}
}

func TestWriteLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(target, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(target, []byte("x"), 0o600); err == nil {
		t.Fatal("writing over a directory succeeded")
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("%v are left, want the directory alone", left)
	}
}

func TestWhatAKilledCallLeftGoesWithALaterOne(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{
		".file.123":       2 * time.Hour,
		".file.456":       time.Minute, // somebody may be writing it
		".file.more.123":  2 * time.Hour,
		".file.conf":      2 * time.Hour,
		".another.123":    2 * time.Hour,
		"file.123":        2 * time.Hour,
		".file.789/child": 2 * time.Hour,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(-age)
		if err := errors.Join(os.Chtimes(path, written, written), os.Chtimes(filepath.Dir(path), written, written)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{".another.123", ".file.456", ".file.789", ".file.conf", ".file.more.123", "file", "file.123"}
	if left := names(t, dir); !slices.Equal(left, want) {
		t.Errorf("%v are left, want %v", left, want)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func TestASymbolicLinkIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "current")
	if err := os.Symlink("killed", filepath.Join(dir, ".current.link")); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"a", "b", "b"} {
		if err := Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(path); err != nil || got != target {
			t.Errorf("it leads to %q (%v), want %q", got, err, target)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside it there is something: %v, %v", left, err)
	}
	if err := Symlink("a", filepath.Join(dir, "no", "link")); err == nil {
		t.Error("nothing was said of a directory that is not there")
	}
}
