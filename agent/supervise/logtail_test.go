package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLogTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old run\nnew run\n")
	if got := logTail(path, int64(len("old run\n"))); got != "new run" {
		t.Errorf("got %q, want only what was written since the start", got)
	}
	write("short\n")
	if got := logTail(path, 1000); got != "short" {
		t.Errorf("got %q, want all of a log that was rotated", got)
	}
	write(strings.Repeat("a line of the log\n", 1000) + "last\xff\n")
	got := logTail(path, 0)
	if len(got) > tailBytes || !strings.HasPrefix(got, "a line") || !strings.HasSuffix(got, "last?") {
		t.Errorf("got %d bytes %q…%q, want whole lines in at most %d bytes", len(got), got[:10], got[len(got)-10:], tailBytes)
	}
	write(strings.Repeat("é", 3000))
	if got := logTail(path, 0); len(got) > tailBytes || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("a line without an end is cut inside a character")
	}
	if got := logTail(path+".missing", 0); got != "" {
		t.Errorf("a missing log has the tail %q", got)
	}
}

func TestTheLastLineWithATextIsFoundInALongLog(t *testing.T) {
	b := newBench(t)
	script := "echo 'refused: token=abcdef123456'; i=0; while [ $i -lt 2000 ]; do echo 'some noise of the log'; i=$((i+1)); done; echo end; exec sleep 600"
	p := Process{Name: "talks", Path: "/bin/sh", Args: []string{"-c", script}, LogFile: filepath.Join(b.dir, "talks.log"), StopTimeout: time.Second}
	s, stop := b.start(p)
	defer stop()
	eventually(t, "the end of the log", func() bool { return s.LastLine("talks", "end") == "end" })
	if got := s.LastLine("talks", "refused"); got != "refused: token=[redacted]" {
		t.Errorf("got %q, want the line, redacted", got)
	}
	if got := s.LastLine("talks", "never written") + s.LastLine("nobody", ""); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
