package machine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A record may hold a token: whatever a manager left that was killed while it wrote, only root reads the next one.
func TestARecordIsRootsAloneWhateverWasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	if err := os.WriteFile(path+".new", []byte("half of"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := saveFile(path, []byte("whole")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it is %v (%v), want mode 0600", info.Mode(), err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "whole" {
		t.Errorf("it holds %q (%v)", data, err)
	}
}

func TestARecordDoesNotBringItsMachinesDirectoryBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "removed")
	if err := saveFile(filepath.Join(dir, "record.json"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that there is no such directory", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there again (%v)", err)
	}
}
