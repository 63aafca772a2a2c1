package remote_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/test/sshd"
)

const secret = "s3cret-of-the-test"

func wantNone(t *testing.T, text, what string) {
	t.Helper()
	if strings.Contains(text, what) {
		t.Errorf("found %q in %q", what, text)
	}
}

func TestAScriptHasItsInputAndItsOutput(t *testing.T) {
	large := make([]byte, 900<<10)
	_, _ = rand.Read(large)
	for name, test := range map[string]struct {
		script string
		stdin  io.Reader
		want   string
	}{
		"output":                        {"echo hello; echo noise >&2", nil, "hello\n"},
		"input":                         {"tr a-z A-Z", strings.NewReader("hello"), "HELLO"},
		"binary input":                  {"cat", bytes.NewReader(large), string(large)},
		"input that is left":            {"echo done", bytes.NewReader(large), "done\n"},
		"no input":                      {"cat", nil, ""},
		"quotes, dollars and lines":     {"a='it'\\''s $5'\necho \"$a\" `echo x`\n", nil, "it's $5 x\n"},
		"the locale is C":               {"echo $LC_ALL", nil, "C\n"},
		"no trace of our own variables": {"echo ${l-none}", nil, "none\n"},
		"what looks like our marks":     {"echo 'drover: begun'; cat", strings.NewReader("drover: input\n"), "drover: begun\ndrover: input\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := dial(t, targetOf(sshd.Start(t, sshd.Options{}))).Run(within(t), test.script, test.stdin)
			if err != nil || string(out) != test.want {
				t.Errorf("got %.80q, %v; want %.80q", out, err, test.want)
			}
		})
	}
}

func TestWhatALoginShellSaysIsNoOutput(t *testing.T) {
	server := sshd.Start(t, sshd.Options{Env: []string{"ENV=/nowhere"}, Command: noisyLogin})
	out, err := dial(t, targetOf(server)).Run(within(t), "echo mine", nil)
	if err != nil || string(out) != "mine\n" {
		t.Errorf("got %q, %v; want the script's output alone", out, err)
	}
}

func TestACommandThatFailsSaysHow(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		code   int
		stderr string
	}{
		"an exit code":           {"echo out; echo why >&2; exit 3", 3, "why\n"},
		"a signal":               {"kill -KILL $$", 137, ""},
		"the end of a long tale": {"i=0; while [ $i -lt 400 ]; do echo filler $i >&2; i=$((i+1)); done; echo last >&2; exit 1", 1, "filler 399\nlast\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, targetOf(sshd.Start(t, sshd.Options{}))).Run(within(t), test.script, nil)
			got := reasoned(t, err, remote.CommandFailed, strings.TrimSpace(strings.ReplaceAll(test.stderr, "\n", " ")))
			if got.ExitCode != test.code || !strings.HasSuffix(got.Stderr, test.stderr) || len(got.Stderr) > 2<<10 {
				t.Errorf("got code %d and %d bytes %q, want code %d and at most 2048 bytes with %q at the end",
					got.ExitCode, len(got.Stderr), got.Stderr, test.code, test.stderr)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	connection := dial(t, targetOf(sshd.Start(t, sshd.Options{})))
	_, err := connection.Run(within(t), "cat /dev/zero", nil)
	wantReason(t, err, remote.CommandFailed, "more than the 1048576 bytes")
	if out, err := connection.Run(within(t), "echo still here", nil); err != nil || string(out) != "still here\n" {
		t.Errorf("the connection is of no use afterwards: %q, %v", out, err)
	}
}

func TestAHostThatFailsInTheMiddleIsToldApart(t *testing.T) {
	endless := "cat >/dev/null; while :; do sleep 0.05; done"
	for name, test := range map[string]struct {
		fault  func(*sshd.Server)
		script string
		stdin  io.Reader
		reason string
		// message tells which of the watchdogs it was, and not the test's own deadline.
		message string
	}{
		"a connection that is dropped in a command":  {(*sshd.Server).DropAll, endless, nil, remote.Unreachable, "lost the connection"},
		"a connection that is dropped in a transfer": {func(s *sshd.Server) { s.DropAfter(1 << 20) }, endless, endlessInput{}, remote.Unreachable, "lost the connection"},
		"a host that hangs in a command":             {func(s *sshd.Server) { s.HangAfter(0) }, endless, nil, remote.Timeout, "gave no sign of life for 400ms"},
		"a host that hangs in a transfer":            {func(s *sshd.Server) { s.HangAfter(1 << 20) }, endless, endlessInput{}, remote.Timeout, "for 400ms"},
		"a command that takes no input":              {nil, "while :; do sleep 0.05; done", endlessInput{}, remote.Timeout, "took no input for 400ms"},
	} {
		t.Run(name, func(t *testing.T) {
			server := sshd.Start(t, sshd.Options{})
			target := targetOf(server)
			target.Limits = remote.Limits{Silence: 400 * time.Millisecond}
			connection := dial(t, target)
			if test.fault != nil && test.stdin != nil {
				test.fault(server)
			} else if test.fault != nil {
				began := filepath.Join(t.TempDir(), "began")
				test.script = "touch " + began + "; " + test.script
				go func() {
					waitFor(t, began)
					test.fault(server)
				}()
			}
			_, err := connection.Run(within(t), test.script, test.stdin)
			wantReason(t, err, test.reason, test.message)
		})
	}
}

func TestASilentCommandLivesAsLongAsItsHost(t *testing.T) {
	target := targetOf(sshd.Start(t, sshd.Options{}))
	target.Limits = remote.Limits{Silence: 200 * time.Millisecond}
	if out, err := dial(t, target).Run(within(t), "sleep 1; echo done", nil); err != nil || string(out) != "done\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestTheContextEndsACommand(t *testing.T) {
	began, ended := filepath.Join(t.TempDir(), "began"), filepath.Join(t.TempDir(), "ended")
	connection := dial(t, targetOf(sshd.Start(t, sshd.Options{})))
	ctx, cancel := context.WithCancel(within(t))
	go func() {
		waitFor(t, began)
		cancel()
	}()
	_, err := connection.Run(ctx, "trap 'touch "+ended+"; exit' TERM; touch "+began+"; while :; do sleep 0.05; done", nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	waitFor(t, ended)
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = connection.Run(ctx, "while :; do sleep 0.05; done", nil)
	wantReason(t, err, remote.Timeout)
	if out, err := connection.Run(within(t), "echo still here", nil); err != nil || string(out) != "still here\n" {
		t.Errorf("the connection is of no use afterwards: %q, %v", out, err)
	}
}

func TestAClosedConnectionRunsNothing(t *testing.T) {
	connection := dial(t, targetOf(sshd.Start(t, sshd.Options{})))
	connection.Close()
	connection.Close()
	_, err := connection.Run(within(t), "true", nil)
	wantReason(t, err, remote.Unreachable, "closed")
}

func TestSudoRunsAScriptOrSaysWhyNot(t *testing.T) {
	for name, test := range map[string]struct {
		sudo     sshd.Sudo
		password string
		reason   string
	}{
		"it does not ask":                             {sshd.Sudo{}, "", ""},
		"it does not ask for the password it has":     {sshd.Sudo{}, secret, ""},
		"it takes the password":                       {sshd.Sudo{Password: secret}, secret, ""},
		"it does not take the password":               {sshd.Sudo{Password: "other"}, secret, remote.SudoPasswordWrong},
		"it asks for a password that is not given":    {sshd.Sudo{Password: secret}, "", remote.SudoDenied},
		"it does not know the user":                   {sshd.Sudo{NotInSudoers: true}, "", remote.SudoDenied},
		"it does not know the user with the password": {sshd.Sudo{Password: secret, NotInSudoers: true}, secret, remote.SudoDenied},
	} {
		t.Run(name, func(t *testing.T) {
			test.sudo.Log = filepath.Join(t.TempDir(), "log")
			server := sshd.Start(t, sshd.Options{Sudo: &test.sudo})
			target := targetOf(server)
			target.Privilege, target.SudoPassword = remote.Sudo, test.password
			out, err := dial(t, target).Run(within(t), "echo "+secret+"; cat", strings.NewReader("payload\nof two lines"))
			if test.reason != "" {
				wantNone(t, reasoned(t, err, test.reason).Error(), secret)
			} else if want := secret + "\npayload\nof two lines"; err != nil || string(out) != want {
				t.Errorf("got %q, %v; want %q", out, err, want)
			}
			log, err := os.ReadFile(test.sudo.Log)
			if err != nil {
				t.Fatal(err)
			}
			wantNone(t, string(log), secret)
			wantNone(t, strings.Join(server.Commands(), "\n"), secret)
		})
	}
}

// mountTmpfs makes dir a file system of its own, until what it returns is called or the test has ended.
func mountTmpfs(t *testing.T, dir, options string) (unmount func()) {
	t.Helper()
	if err := unix.Mount("drover-test", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	unmount = sync.OnceFunc(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(unmount)
	return unmount
}

func pack(t *testing.T, content []byte) []byte {
	t.Helper()
	packed := &bytes.Buffer{}
	w := gzip.NewWriter(packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestAFileIsPutWholeOrNotAtAll(t *testing.T) {
	content := make([]byte, 3<<20)
	_, _ = rand.Read(content)
	digest := sha256.Sum256(content)
	sum := hex.EncodeToString(digest[:])
	dir := t.TempDir()
	path := filepath.Join(dir, "it's a new [dir]", "agent*")
	server := sshd.Start(t, sshd.Options{})
	packed := false
	put := func(content io.Reader, sum string) error {
		target := targetOf(server)
		target.Limits = remote.Limits{Silence: time.Second}
		return dial(t, target).Put(within(t), remote.File{Path: path, Mode: 0o751, Size: 3 << 20, SHA256: sum, Content: content, Packed: packed})
	}
	wantFiles := func(t *testing.T, want ...string) {
		t.Helper()
		eventually(t, func() bool {
			entries, _ := os.ReadDir(filepath.Dir(path))
			var names []string
			for _, entry := range entries {
				names = append(names, entry.Name())
			}
			return strings.Join(names, ",") == strings.Join(want, ",")
		})
	}

	server.DropAfter(1 << 20)
	wantReason(t, put(bytes.NewReader(content), sum), remote.Unreachable, "agent*")
	server.Heal()
	wantFiles(t)

	wrong := strings.Repeat("0", 64)
	wantReason(t, put(bytes.NewReader(content), wrong), remote.CommandFailed, sum, wrong)
	wantFiles(t)

	wantReason(t, put(bytes.NewReader(content[:1<<20]), sum), remote.CommandFailed)
	wantFiles(t)

	// A disk that is full takes half of it.
	unmount := mountTmpfs(t, filepath.Dir(path), "size=1m")
	wantReason(t, put(bytes.NewReader(content), sum), remote.CommandFailed, "No space left on device")
	wantFiles(t)
	unmount()

	if err := put(bytes.NewReader(content), sum); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, "agent*")
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %v; want the content", len(got), err)
	}
	wantMode(t, path, 0o751)
	wantMode(t, filepath.Dir(path), 0o755)

	t.Run("and so is one that is sent packed", func(t *testing.T) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		packed = true
		defer func() { packed = false }()
		archive := pack(t, content)
		wantReason(t, put(bytes.NewReader(archive[:len(archive)/2]), sum), remote.CommandFailed, "unexpected end of file")
		wantFiles(t)
		if err := put(bytes.NewReader(archive), sum); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, "agent*")
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d bytes, %v; want the content", len(got), err)
		}
	})
	t.Run("and nothing is sent when it is there", func(t *testing.T) {
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := put(untouchable{t}, sum); err != nil {
			t.Fatal(err)
		}
		wantMode(t, path, 0o751)
	})
	t.Run("and a small one takes one command", func(t *testing.T) {
		small, before := []byte("small"), len(server.Commands())
		digest := sha256.Sum256(small)
		for range 2 {
			if err := dial(t, targetOf(server)).Put(within(t), remote.File{Path: filepath.Join(dir, "small"), Mode: 0o600, Size: 5, SHA256: hex.EncodeToString(digest[:]), Content: bytes.NewReader(small)}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(dir, "small")); err != nil || string(got) != "small" {
			t.Errorf("got %q, %v", got, err)
		}
		if got := len(server.Commands()) - before; got != 2 {
			t.Errorf("two times took %d commands, want 2", got)
		}
	})
	t.Run("and another file in its place is replaced", func(t *testing.T) {
		if err := os.WriteFile(path, make([]byte, 3<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := put(bytes.NewReader(content), sum); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, "agent*")
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d bytes, %v; want the content", len(got), err)
		}
	})
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has the mode %o, want %o", path, got, want)
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	eventually(t, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Error("it did not come to hold within 10 s")
			return
		}
	}
}

type endlessInput struct{}

func (endlessInput) Read(into []byte) (int, error) { return len(into), nil }

type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the content was read")
	return 0, io.EOF
}
