package sshd

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// fault happens once so many bytes came from clients.
type fault struct {
	left   atomic.Int64
	drop   bool
	healed chan struct{}
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
	select {
	case <-f.healed:
	case <-c.closed:
	}
}

func (c *faultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
