package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRedact(t *testing.T) {
	cases := []struct{ reason, in, want string }{
		{"a bearer token", "Authorization: Bearer abcdefghijklmnop.qrst", "Authorization: Bearer [redacted]"},
		{"words after bearer stay", "invalid bearer authentication", "invalid bearer authentication"},
		{"basic credentials", "authorization: Basic dXNlcjpwYXNzd29yZA==", "authorization: Basic [redacted]"},
		{"a join token", "using abcdef.0123456789abcdef to join", "using [redacted] to join"},
		{"a JSON web token", "got eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln end", "got [redacted] end"},
		{"a key", "a\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nb", "a\n[redacted]\nb"},
		{"a key whose beginning is cut off", "MHcCAQ\nAAAA\n-----END PRIVATE KEY-----\nb", "[redacted]\nb"},
		{"a key whose end is missing", "a\n-----BEGIN PRIVATE KEY-----\nMHc", "a\n[redacted]"},
		{"a user and password in a URL", "GET https://user:pass@host/v2/ failed", "GET https://[redacted]@host/v2/ failed"},
		{"a URL without a user", "GET https://host:5443/v2/?a=b@c failed", "GET https://host:5443/v2/?a=b@c failed"},
		{"a value by its key", `{"token": "s3cr3t-value","x":1}`, `{"token": "[redacted]","x":1}`},
		{"key data of a kubeconfig", "client-key-data: LS0tLS1CRUdJTg==", "client-key-data: [redacted]"},
		{"an ordinary line", `E1123 kubelet.go:1 "Failed" err="open /x: no such file" digest=sha256:0a1b`, `E1123 kubelet.go:1 "Failed" err="open /x: no such file" digest=sha256:0a1b`},
	}
	for _, c := range cases {
		if got := Redact(c.in); got != c.want {
			t.Errorf("%s: Redact(%q)\n got %q\nwant %q", c.reason, c.in, got, c.want)
		}
	}
}

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
