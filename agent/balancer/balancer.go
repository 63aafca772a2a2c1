package balancer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// Options are what a Balancer works with.
type Options struct {
	// Check is nil when the server at an address is well. Its context ends after Timeout.
	Check func(ctx context.Context, address string) error
	Log   logr.Logger
	// Every is the time between two checks, and Timeout that which a check or a connection may take.
	Every, Timeout time.Duration
	// Calm is how long a server must have been well before connections go back to it; chance adds up to as much again.
	Calm time.Duration
}

// DefaultOptions are those of a node: a server that says nothing any more is left after 11 s at the latest, well within the 40 s
// after which a node that is silent is not Ready.
func DefaultOptions() Options {
	return Options{Every: 5 * time.Second, Timeout: 3 * time.Second, Calm: 30 * time.Second}
}

// Balancer passes connections on.
type Balancer struct {
	opts Options

	mu      sync.Mutex
	servers []*server // in the order that they are preferred in
	current *server   // where connections go; nil for the first that is well
	back    comeback
	recheck chan struct{}
}

// server is one of the API servers.
type server struct {
	address string
	ill     error // nil while it is well, and before anything is known
	conns   map[*conn]struct{}
}

// comeback is a server that connections will go back to, and when; nil for none.
type comeback struct {
	to *server
	at time.Time
}

// New makes a Balancer without servers.
func New(opts Options) *Balancer {
	return &Balancer{opts: opts, recheck: make(chan struct{}, 1)}
}

// SetServers says at which addresses the API servers are, those that are preferred first. The connections to one that is not among
// them any more are left to end by themselves: what knows of the addresses may not know all of them each time.
func (b *Balancer) SetServers(addresses []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.servers
	b.servers = nil
	for _, address := range addresses {
		at := slices.IndexFunc(before, func(s *server) bool { return s.address == address })
		if at < 0 {
			b.servers = append(b.servers, &server{address: address, conns: map[*conn]struct{}{}})
		} else {
			b.servers = append(b.servers, before[at])
		}
	}
	if !slices.Contains(b.servers, b.current) {
		b.current = nil
	}
	b.soon()
}

// Run checks the servers until the context ends.
func (b *Balancer) Run(ctx context.Context) {
	tick := time.NewTicker(b.opts.Every)
	defer tick.Stop()
	for {
		b.check(ctx)
		b.settle(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.recheck:
		}
	}
}

// soon has the servers checked now.
func (b *Balancer) soon() {
	select {
	case b.recheck <- struct{}{}:
	default:
	}
}

// check asks all servers at the same time.
func (b *Balancer) check(ctx context.Context) {
	var asked sync.WaitGroup
	for _, s := range b.all() {
		asked.Go(func() {
			err := b.ask(ctx, s)
			if err != nil {
				err = b.ask(ctx, s) // one answer may be lost
			}
			if ctx.Err() == nil {
				b.heard(s, err)
			}
		})
	}
	asked.Wait()
}

func (b *Balancer) all() []*server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.servers)
}

func (b *Balancer) ask(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	return b.opts.Check(ctx, s.address)
}

// heard takes down how a server is.
func (b *Balancer) heard(s *server, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if (s.ill == nil) != (err == nil) {
		if err != nil {
			b.opts.Log.Info("An API server is not well", "address", s.address, "cause", err.Error())
		} else {
			b.opts.Log.Info("An API server is well again", "address", s.address)
		}
	}
	s.ill = err
}

// settle chooses where connections go by what was heard, and ends those that are to go elsewhere.
func (b *Balancer) settle(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	best := b.wellLocked()
	if best == nil {
		return // nobody is better off elsewhere
	}
	switch {
	case b.current == nil || b.current.ill != nil:
		b.moveLocked(best)
	case best == b.current:
		b.back = comeback{}
	case best != b.back.to:
		b.back = comeback{to: best, at: now.Add(b.opts.Calm + rand.N(b.opts.Calm+1))}
	case !now.Before(b.back.at):
		b.moveLocked(best)
		for _, s := range b.servers {
			if s != best {
				s.end()
			}
		}
	}
	for _, s := range b.servers {
		if s.ill != nil {
			s.end()
		}
	}
}

// wellLocked is the first server that is well, nil for none.
func (b *Balancer) wellLocked() *server {
	for _, s := range b.servers {
		if s.ill == nil {
			return s
		}
	}
	return nil
}

func (b *Balancer) moveLocked(to *server) {
	if b.current != nil {
		b.opts.Log.Info("Connections go to another API server", "address", to.address, "before", b.current.address)
	}
	b.current, b.back = to, comeback{}
}

// end ends the connections of a server.
func (s *server) end() {
	for c := range s.conns {
		_ = c.TCPConn.Close() // it was of no use
		delete(s.conns, c)
	}
}

// Dial makes a connection to the server that they go to now, or to another one that takes it.
func (b *Balancer) Dial(ctx context.Context) (net.Conn, error) {
	c, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (b *Balancer) dial(ctx context.Context) (*conn, error) {
	errs := []error{errors.New("no API server takes a connection")}
	for _, s := range b.order() {
		dialer := net.Dialer{Timeout: b.opts.Timeout}
		c, err := dialer.DialContext(ctx, "tcp", s.address)
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.address, err))
			b.heard(s, err)
			b.soon()
			continue
		}
		return b.track(s, c)
	}
	return nil, errors.Join(errs...)
}

// order is that in which servers are tried: where connections go first, then those that are well, then the others.
func (b *Balancer) order() []*server {
	b.mu.Lock()
	defer b.mu.Unlock()
	rank := func(s *server) int {
		switch {
		case s.ill != nil:
			return 2
		case s != b.current:
			return 1
		default:
			return 0
		}
	}
	sorted := slices.Clone(b.servers)
	slices.SortStableFunc(sorted, func(x, y *server) int { return rank(x) - rank(y) })
	return sorted
}

// conn is a connection to a server, which knows of it.
type conn struct {
	*net.TCPConn
	closed func()
}

func (b *Balancer) track(s *server, c net.Conn) (*conn, error) {
	tcp, is := c.(*net.TCPConn)
	if !is {
		return nil, errors.Join(fmt.Errorf("a connection to %s is of TCP", s.address), c.Close())
	}
	tracked := &conn{TCPConn: tcp}
	tracked.closed = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(s.conns, tracked)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.conns[tracked] = struct{}{}
	return tracked, nil
}

// Close ends the connection.
func (c *conn) Close() error {
	c.closed()
	return c.TCPConn.Close()
}
