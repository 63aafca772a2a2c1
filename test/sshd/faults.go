package sshd

import (
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fault happens once so many bytes came from clients.
type fault struct {
	left   atomic.Int64
	drop   bool
	healed chan struct{}
	// lasts is how long after it happened it heals by itself; for ever if 0.
	lasts    time.Duration
	happened sync.Once
}

func newFault(after int64, drop bool) *fault {
	f := &fault{drop: drop, healed: make(chan struct{})}
	f.left.Store(after)
	return f
}

// faultyConn is a connection that suffers the server's faults.
type faultyConn struct {
	net.Conn
	server *Server
	once   sync.Once
	closed chan struct{}
}

func (c *faultyConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if f := c.server.fault.Load(); f != nil && f.left.Add(-int64(n)) < 0 {
		if f.drop {
			_ = c.Close()
			return 0, io.ErrUnexpectedEOF
		}
		c.hang(f)
	}
	return n, err
}

func (c *faultyConn) Write(data []byte) (int, error) {
	if f := c.server.fault.Load(); f != nil && !f.drop && f.left.Load() < 0 {
		c.hang(f)
	}
	return c.Conn.Write(data)
}

func (c *faultyConn) hang(f *fault) {
	if f.lasts > 0 {
		f.happened.Do(func() { time.AfterFunc(f.lasts, func() { c.server.heal(f) }) })
	}
	select {
	case <-f.healed:
	case <-c.closed:
	}
}

func (c *faultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Moment is when, in the life of a command, a server goes away.
type Moment int

// The moments.
const (
	// BeforeCommand: the command is never started.
	BeforeCommand Moment = iota
	// DuringCommand: it has its input, and runs on without the connection.
	DuringCommand
	// AfterCommand: it ends, and nobody is told how.
	AfterCommand
	// Crash: it has its input, and dies with the connection and all else that runs, as when a machine loses its power.
	Crash
)

// cut is to happen at a command.
type cut struct {
	left atomic.Int64
	when Moment
	made atomic.Bool
}

// DropAtCommand drops all connections at the command of that number, counted from 1 from now on, and only there; at none for
// 0. It replaces what was asked for before. The function that it returns says whether that has happened.
func (s *Server) DropAtCommand(number int, when Moment) (happened func() bool) {
	c := &cut{when: when}
	c.left.Store(int64(number))
	s.cut.Store(c)
	return c.made.Load
}

// cutHere counts a command, and returns the cut if this is where it is to be.
func (s *Server) cutHere() *cut {
	if c := s.cut.Load(); c != nil && c.left.Add(-1) == 0 {
		return c
	}
	return nil
}

// reached makes the cut if this is its moment.
func (s *Server) reached(c *cut, now ...Moment) bool {
	if c == nil || !slices.Contains(now, c.when) {
		return false
	}
	c.made.Store(true)
	s.DropAll()
	if c.when == Crash {
		s.killAll()
	}
	return true
}
