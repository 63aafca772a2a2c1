package drift

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestADifferenceIsToldByItsLines(t *testing.T) {
	for name, c := range map[string]struct{ want, have, told string }{
		"another value": {"a: 1\nb: 2\nc: 3\n", "a: 1\nb: 9\nc: 3\n", `has at line 2 "b: 9", not "b: 2"`},
		"a line more":   {"a: 1\nb: 2\n", "a: 1\nx: 0\nb: 2\n", `has one more at line 2: "x: 0"`},
		"a line less":   {"a: 1\nb: 2\n", "b: 2\n", `lacks line 1: "a: 1"`},
		"several":       {"a: 1\nb: 2\nc: 3\n", "a: 0\nb: 0\nc: 3\n", `has at line 1 "a: 0", not "a: 1" (and 1 more)`},
		"emptied":       {"a: 1\nb: 2\n", "", `lacks line 1: "a: 1" (and 1 more)`},
		"no end of it":  {"a\n", strings.Repeat("x", 500) + "\n", `has at line 1 "` + strings.Repeat("x", maxLine) + `…", not "a"`},
		"a secret":      {"token: abcdef.0123456789abcdef\n", "token: ghijkl.0123456789abcdef\n", "differs in a secret"},
		"with a secret": {"a: 1\n", "password: hunter2hunter2\n", `has at line 1 "password: [redacted]", not "a: 1"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(c.want, c.have); got != c.told {
				t.Errorf("got  %s\nwant %s", got, c.told)
			}
		})
	}
}

func TestADifferenceSaysWhenItWasMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	if d := File(path, []byte("b"), 0o644); d == nil || time.Since(d.Changed) > time.Minute {
		t.Errorf("got %+v: a time that anybody can set is none", d)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if d := File(path, []byte("b"), 0o644); d == nil || time.Since(d.Changed) > time.Minute || d.Detail != "is gone" {
		t.Errorf("got %+v", d)
	}
	if d := File(filepath.Dir(path), []byte("b"), 0o644); d == nil || d.Detail != "is no file" {
		t.Errorf("got %+v", d)
	}
}
