package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
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

func TestWriteLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(target, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(target, []byte("x"), 0o600); err == nil {
		t.Fatal("writing over a directory succeeded")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("left %d entries behind, want the directory alone", len(entries))
	}
}
