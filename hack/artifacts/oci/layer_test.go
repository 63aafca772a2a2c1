package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModesReachTheArchive(t *testing.T) {
	var archive bytes.Buffer
	entries, err := writeTar(&archive, []File{
		{Path: "bin/su", Mode: fs.ModeSetuid | fs.ModeSetgid | 0o755},
		{Path: "etc/passwd", Mode: 0o644},
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the entries are %+v, want the two files", entries)
	}
	got := map[string]int64{}
	for reader := tar.NewReader(&archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = header.Mode
	}
	want := map[string]int64{"bin/": 0o755, "bin/su": 0o6755, "etc/": 0o755, "etc/passwd": 0o644, "tmp/": 0o1777}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}
