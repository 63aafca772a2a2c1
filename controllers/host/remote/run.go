package remote

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// Connection is a host that is logged in to. It may be used by several goroutines at once.
type Connection interface {
	// Run runs a shell script as root with stdin (nil for none), and returns its standard output. The script may read
	// stdin or leave it. When ctx ends, the script is sent SIGTERM and left: what root runs through sudo may live on, so
	// scripts must be safe to repeat.
	Run(ctx context.Context, script string, stdin io.Reader) (stdout []byte, err error)
	// Put makes a file of root's. It is whole or not there at any time, and is on the disk when Put returns. Missing
	// directories are made, with mode 0755. If a large file is there already, nothing is sent and the content is not read.
	Put(ctx context.Context, file File) error
	// HostKey is the key that the host showed, in the form of authorized_keys. Of a certificate it is the key inside.
	HostKey() string
	// Close ends the connection, and what still runs on it with Unreachable.
	Close() error
}

// File is what Put makes.
type File struct {
	// Path is absolute and clean.
	Path string
	Mode os.FileMode
	// Size is in bytes, and SHA256 in hexadecimal, of the file.
	Size   int64
	SHA256 string
	// Content is the file's, or what gzip made of it if Packed is true: a slow line takes a third of the time then.
	Content io.Reader
	Packed  bool
}

const (
	// markBegun is what the host says on both outputs when the shell of root runs: what comes after is the script's.
	markBegun = "drover: begun"
	// markInput precedes the script on standard input: what comes before it was meant for sudo, which did not ask.
	markInput = "drover: input"
	// inputSize is how much input is sent at once. Each layer below keeps a buffer as large for the connection's life, and
	// there may be hundreds of these.
	inputSize = 32 << 10
	// mostOfScript bounds a script, which the host's shell reads byte by byte.
	mostOfScript = 256 << 10
)

// shell is the only command that is ever run. It holds no quote and no dollar outside of single quotes, so that any
// login shell passes it on as it is. The script comes in base64 and with a line's end, so that half of one never runs.
const shell = `/bin/sh -c '` +
	`PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin; LC_ALL=C; export PATH LC_ALL; ` +
	`echo "` + markBegun + `"; echo "` + markBegun + `" >&2; ` +
	`until [ "$l" = "` + markInput + `" ]; do IFS= read -r l || exit 65; done; ` +
	`IFS= read -r l || exit 65; ` +
	`l=$(printf %s "$l" | base64 -d) || exit 65; eval "$l"'`

func (t Target) command() string {
	switch {
	case t.Privilege != Sudo:
		return shell
	case t.SudoPassword == "":
		return "env LC_ALL=C sudo -n -- " + shell
	default:
		// -k: the password is checked each time, whatever sudo remembers of an earlier one.
		return "env LC_ALL=C sudo -k -S -p '' -- " + shell
	}
}

func (c *connection) Run(ctx context.Context, script string, stdin io.Reader) ([]byte, error) {
	if len(script) > mostOfScript {
		return nil, fmt.Errorf("run a script on %s: it has %d bytes, more than %d", c.target.hostPort(), len(script), mostOfScript)
	}
	if ctx.Err() != nil {
		return nil, c.endedBy(ctx)
	}
	r := &run{
		c: c, script: script, stdin: stdin,
		stdout: newStream(c.limits.Output, false), stderr: newStream(mostOfStderr, true),
		over: make(chan struct{}), stalled: make(chan struct{}),
	}
	r.alarm = time.AfterFunc(c.limits.Silence, func() { close(r.stalled) })
	defer r.alarm.Stop()
	started := c.begin(func() {
		defer close(r.over)
		r.err = r.start()
	})
	if !started {
		return nil, failure(Unreachable, "the connection to %s is closed", c.target.hostPort())
	}
	return r.wait(ctx)
}

func (c *connection) endedBy(ctx context.Context) error {
	return ended(ctx, "run a script on "+c.target.hostPort())
}

// run is one script on its way.
type run struct {
	c              *connection
	script         string
	stdin          io.Reader
	stdout, stderr *stream

	mu      sync.Mutex
	session *ssh.Session
	stopped bool

	// alarm closes stalled when the host has taken no input for too long. It is off once all of it was taken: a command
	// may be silent for as long as the host itself gives signs of life.
	alarm   *time.Timer
	stalled chan struct{}

	over chan struct{}
	err  error
}

// start runs the session to its end.
func (r *run) start() error {
	session, err := unlessGone(r.c.gone, r.c.route.last().NewSession)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	if !r.adopt(session) {
		return context.Canceled
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		return err
	}
	session.Stdout, session.Stderr = r.stdout, r.stderr
	if err := session.Start(r.c.target.command()); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	go r.feed(stdin, done)
	return session.Wait()
}

// unlessGone opens a session, but waits for it no longer than the connection lives: a channel that is asked for just as the
// connection ends may never be answered (x/crypto's ssh forgets it), and Close would wait for it for ever.
func unlessGone(gone <-chan struct{}, open func() (*ssh.Session, error)) (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	result := make(chan opened, 1)
	go func() {
		session, err := open()
		result <- opened{session, err}
	}()
	select {
	case o := <-result:
		return o.session, o.err
	case <-gone:
		return nil, io.EOF
	}
}

// adopt makes the session known to stop, unless it is too late for that.
func (r *run) adopt(session *ssh.Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = session
	return !r.stopped
}

// feed gives the command its input. It ends with the command, or at the next return of the caller's reader after it.
func (r *run) feed(stdin io.WriteCloser, done <-chan struct{}) {
	defer r.alarm.Stop()
	defer func() { _ = stdin.Close() }()
	to := progress{stdin, r.alarm, r.c.limits.Silence}
	var asked <-chan struct{}
	if r.c.target.Privilege == Sudo && r.c.target.SudoPassword != "" {
		asked = r.stderr.asked
		if _, err := io.WriteString(to, r.c.target.SudoPassword+"\n"); err != nil {
			return
		}
	}
	select {
	case <-r.stderr.began:
	case <-asked:
		// With its input closed, sudo gives up instead of taking the script for a password.
		return
	case <-done:
		return
	}
	script := base64.StdEncoding.EncodeToString([]byte("unset l\n" + r.script))
	if _, err := io.WriteString(to, markInput+"\n"+script+"\n"); err != nil || r.stdin == nil {
		return
	}
	_, _ = io.CopyBuffer(to, untilDone{r.stdin, done}, make([]byte, inputSize))
}

// wait returns when the session is over, or when it is given up.
func (r *run) wait(ctx context.Context) ([]byte, error) {
	host := r.c.target.hostPort()
	select {
	case <-r.over:
		return r.result()
	case <-ctx.Done():
		r.stop()
		return nil, r.c.endedBy(ctx)
	case <-r.stalled:
		r.stop()
		return nil, failure(Timeout, "%s took no input for %s: it hangs, or its disk does", host, r.c.limits.Silence)
	case <-r.stdout.overflowed:
	case <-r.stderr.overflowed:
	}
	r.stop()
	return nil, r.tooMuch()
}

func (r *run) tooMuch() error {
	return &Error{Reason: CommandFailed, ExitCode: -1, Stderr: string(r.stderr.said()),
		Message: fmt.Sprintf("a script on %s wrote more than the %d bytes that are taken", r.c.target.hostPort(), r.c.limits.Output)}
}

// stop ends the session without waiting for a host that may hang.
func (r *run) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if session := r.session; session != nil {
		r.c.begin(func() {
			_ = session.Signal(ssh.SIGTERM)
			_ = session.Close()
		})
	}
}

func (r *run) result() ([]byte, error) {
	var exit *ssh.ExitError
	switch {
	case isClosed(r.stdout.overflowed) || isClosed(r.stderr.overflowed):
		return nil, r.tooMuch()
	case r.err == nil:
		return r.stdout.said(), nil
	case r.c.hung.Load():
		return nil, failure(Timeout, "%s gave no sign of life for %s", r.c.target.hostPort(), r.c.limits.Silence)
	case errors.As(r.err, &exit):
		return nil, r.failed(exit)
	default:
		return nil, failure(Unreachable, "lost the connection to %s: %w", r.c.target.hostPort(), r.err)
	}
}

// failed tells a script that failed from a shell that never began.
func (r *run) failed(exit *ssh.ExitError) error {
	stderr := string(r.stderr.said())
	if !isClosed(r.stderr.began) {
		stderr = strings.TrimSpace(r.stderr.before() + "\n" + r.stdout.before())
		stderr = stderr[max(0, len(stderr)-mostOfStderr):]
		if r.c.target.Privilege == Sudo {
			if verdict := judgeSudo(r.c.target.user(), stderr); verdict != nil {
				return verdict
			}
		}
	}
	message := fmt.Sprintf("a script on %s ended with code %d", r.c.target.hostPort(), exit.ExitStatus())
	if said := clip(stderr); said != "" {
		message += ": " + said
	}
	return &Error{Reason: CommandFailed, Message: message, ExitCode: exit.ExitStatus(), Stderr: stderr, cause: exit}
}

// progress puts off an alarm with every write that was taken.
type progress struct {
	io.Writer
	alarm  *time.Timer
	within time.Duration
}

func (p progress) Write(data []byte) (int, error) {
	n, err := p.Writer.Write(data)
	// An alarm that has gone off stays off: Reset would let it close its channel twice.
	if p.alarm.Stop() {
		p.alarm.Reset(p.within)
	}
	return n, err
}

// untilDone reads no more once a command is over.
type untilDone struct {
	io.Reader
	done <-chan struct{}
}

func (u untilDone) Read(into []byte) (int, error) {
	select {
	case <-u.done:
		return 0, io.EOF
	default:
		return u.Reader.Read(into)
	}
}

// lostConnection tells a connection that broke from one on which something was refused.
func lostConnection(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &network)
}
