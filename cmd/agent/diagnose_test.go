package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// diagnosed runs the command on a machine that never was a node.
func diagnosed(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	cmd := newCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(append([]string{"diagnose", "--bootstrap", filepath.Join(dir, "bootstrap.json"), "--state-dir", dir, "--run-dir", dir}, args...))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestDiagnoseNamesTheArchiveAndItsSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.tar.gz")
	said, _, err := diagnosed(t, "-o", path, "--limit", "1Mi")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^Wrote ` + regexp.QuoteMeta(path) + `: \d+ files, \d+ KiB\n\d+ things could not be read; its index.json says which and why\n$`).MatchString(said) {
		t.Errorf("it said %q", said)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Size() == 0 || info.Size() > 1<<20 {
		t.Errorf("the archive has mode %s and %d bytes", info.Mode(), info.Size())
	}
	if _, _, err := diagnosed(t, "-o", path); err == nil {
		t.Error("what is there already was overwritten")
	}
}

func TestDiagnoseWritesToStandardOutputWhereTheDiskIsFull(t *testing.T) {
	out, said, err := diagnosed(t, "-o", "-")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "\x1f\x8b") || !strings.HasPrefix(said, "Wrote drover-diagnose-") {
		t.Errorf("it wrote %.20q and said %q", out, said)
	}
}

func TestDiagnoseLeavesNoHalfOfAnArchiveBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.tar.gz")
	if _, _, err := diagnosed(t, "-o", path, "--limit", "1Ki"); err == nil {
		t.Error("a limit that leaves no room is taken")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a part of the archive is left: %v", err)
	}
}
