package supervise

import (
	"os"
	"path/filepath"
	"testing"
)

func TestARecordThatCannotBeWrittenLeavesNothing(t *testing.T) {
	s := store{dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(s.path("kubelet"), "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.write(record{Name: "kubelet"}); err == nil {
		t.Error("a record took the place of a directory")
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left (%v), want the directory alone", left, err)
	}
}
