package image

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMirrorOf(t *testing.T) {
	got, err := mirrorOf("https://deb.example.org/debian/\nhttps://security.example.org/\n")
	if err != nil || got != "https://deb.example.org/debian/" {
		t.Errorf("mirrorOf = %q, %v, want the first", got, err)
	}
	if _, err := mirrorOf("\n"); err == nil || !strings.Contains(err.Error(), "--mirror") {
		t.Errorf("mirrorOf of nothing: %v, want an error that says what helps", err)
	}
}

// The last words of a tool are why it failed.
func TestFailureSaysWhy(t *testing.T) {
	var log bytes.Buffer
	err := builder{log: &log}.run(t.Context(), "sh", "-c", "echo unpacking; echo 'E: no such suite'; echo; exit 3")
	if err == nil || !strings.Contains(err.Error(), "E: no such suite") || strings.Contains(err.Error(), "unpacking") {
		t.Errorf("run fails with %v, want the tool's last line alone", err)
	}
	if !strings.Contains(log.String(), "unpacking") {
		t.Errorf("The log is %q, want all that the tool said", log.String())
	}
}

func TestTheLastLineComesInPieces(t *testing.T) {
	for name, pieces := range map[string][]string{
		"a line each":            {"unpacking\n", "E: no such suite\n", "\n"},
		"parts of a line":        {"unpacking\nE: no", " such suite"},
		"a line's end by itself": {"unpacking", "\n", "E: no such suite"},
	} {
		last := &lastLine{}
		for _, piece := range pieces {
			_, _ = last.Write([]byte(piece)) // it never fails
		}
		if got, want := last.String(), "E: no such suite"; got != want {
			t.Errorf("%s: the last line is %q, want %q", name, got, want)
		}
	}
}

func TestHostKey(t *testing.T) {
	i := Image{Dir: t.TempDir()}
	if _, err := i.HostKey(); err == nil {
		t.Error("An image that was not built has a host key")
	}
	if err := os.WriteFile(filepath.Join(i.Dir, "known_hosts"), []byte("* ssh-ed25519 AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := i.HostKey(); err != nil || got != "ssh-ed25519 AAAA" {
		t.Errorf("HostKey = %q, %v", got, err)
	}
}
