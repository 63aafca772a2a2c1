package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/drover-dev/drover/agent/backoff"
)

// acceptPause is the wait after a connection that could not be taken.
const acceptPause = 100 * time.Millisecond

// Serve passes on the connections that come to a listener, until the context ends; then they end too, and the listener is closed.
func (b *Balancer) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var passing sync.WaitGroup
	defer passing.Wait()
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("take a connection on %s: %w", listener.Addr(), err)
		}
		if err != nil { // for want of files, say, which others may give back
			b.opts.Log.Error(err, "Could not take a connection", "address", listener.Addr().String())
			_ = backoff.Wait(ctx, acceptPause) // a context that ended is seen above
			continue
		}
		tcp, is := client.(*net.TCPConn)
		if !is {
			return errors.Join(fmt.Errorf("%s is no listener of TCP", listener.Addr()), client.Close())
		}
		passing.Go(func() { b.pass(ctx, tcp) })
	}
}

// pass passes on what comes over one connection, both ways. The kernel moves the bytes: both ends are sockets of TCP.
func (b *Balancer) pass(ctx context.Context, client *net.TCPConn) {
	defer func() { _ = client.Close() }() // it may have been closed
	server, err := b.dial(ctx)
	if err != nil {
		b.opts.Log.V(1).Info("Ended a connection that no API server takes", "cause", err.Error())
		return
	}
	defer func() { _ = server.Close() }()
	end := func() { _ = client.Close(); _ = server.Close() }
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var halves sync.WaitGroup
	halves.Go(func() { copyHalf(server.TCPConn, client, end) })
	halves.Go(func() { copyHalf(client, server.TCPConn, end) })
	halves.Wait()
}

// copyHalf passes on one direction, and its end; one that broke takes the other along.
func copyHalf(to, from *net.TCPConn, broken func()) {
	if _, err := io.Copy(to, from); err != nil {
		broken()
		return
	}
	if err := to.CloseWrite(); err != nil {
		broken()
	}
}
