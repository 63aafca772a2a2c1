package remote

import (
	"bytes"
	"errors"
	"strings"
	"sync"
)

const (
	// mostOfPrelude bounds what a login shell and sudo may say before the script begins.
	mostOfPrelude = 64 << 10
	// mostOfStderr is how much of the end of standard error is kept.
	mostOfStderr = 2 << 10
	// mostQuoted bounds what is quoted within a message.
	mostQuoted = 300
)

var errTooMuch = errors.New("too much output")

// stream is one of a command's outputs. What comes before the mark is of the login shell or sudo: it is kept apart.
type stream struct {
	limit int
	// tail says to keep the end when there is more than limit, instead of refusing it.
	tail bool

	mu      sync.Mutex
	begun   bool
	prelude bytes.Buffer
	body    bytes.Buffer
	// began is closed at the mark, asked when sudo wants another try, overflowed when limit is exceeded.
	began, asked, overflowed chan struct{}
}

func newStream(limit int, tail bool) *stream {
	return &stream{limit: limit, tail: tail,
		began: make(chan struct{}), asked: make(chan struct{}), overflowed: make(chan struct{})}
}

func (s *stream) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		return len(data), s.lookForMark(data)
	}
	return len(data), s.keep(data)
}

func (s *stream) lookForMark(data []byte) error {
	s.prelude.Write(data)
	before, after, found := bytes.Cut(s.prelude.Bytes(), []byte(markBegun+"\n"))
	switch {
	case found:
		s.begun = true
		close(s.began)
		rest := bytes.Clone(after)
		s.prelude.Truncate(len(before))
		return s.keep(rest)
	case s.prelude.Len() > mostOfPrelude:
		return s.overflow()
	case sudoAsksAgain.Match(s.prelude.Bytes()):
		closeOnce(s.asked)
	}
	return nil
}

func (s *stream) keep(data []byte) error {
	s.body.Write(data)
	excess := s.body.Len() - s.limit
	switch {
	case excess <= 0:
		return nil
	case s.tail:
		s.body.Next(excess)
		return nil
	default:
		s.body.Truncate(s.limit)
		return s.overflow()
	}
}

func (s *stream) overflow() error {
	closeOnce(s.overflowed)
	return errTooMuch
}

// said is what the command wrote, and before what was written before it began.
func (s *stream) said() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.body.Bytes())
}

func (s *stream) before() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prelude.String()
}

// closeOnce is for a channel that one goroutine at a time closes.
func closeOnce(c chan struct{}) {
	if !isClosed(c) {
		close(c)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// clip makes what another program said fit into a message: one line, its end, nothing that is not text.
func clip(said string) string {
	said = strings.Join(strings.Fields(strings.ToValidUTF8(said, "?")), " ")
	said = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, said)
	if len(said) > mostQuoted {
		return "…" + strings.ToValidUTF8(said[len(said)-mostQuoted:], "")
	}
	return said
}
