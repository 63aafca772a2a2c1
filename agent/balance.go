package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/balancer"
)

// balancerAddress is where the kubelet and kube-proxy find the balancer on a node.
const balancerAddress = "127.0.0.1:10247"

// lookUpEvery are the waits between two looks at where the API server is.
var lookUpEvery = backoff.Every(time.Minute)

// othersEvery is the time between two looks for the cluster's other API servers.
const othersEvery = 5 * time.Minute

// balancing is the balancer while it is in use, and what for.
type balancing struct {
	*balancer.Balancer
	address string // of the API server by its URL
}

// balance has the connections of the kubelet, of kube-proxy and of the agent itself go to one of the API servers that is well, where
// there are several, until the context ends. Where there is one they go there directly.
func (a *Agent) balance(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	var b *balancer.Balancer
	var looked time.Time
	check := newServerCheck(a).ask
	if known := a.knownAddresses(a.present()); known.Several { // the components wait for it, and a resolver may take its time
		b = a.openBalancer(ctx, &parts, check)
		a.takeWay(b, a.present(), known)
	}
	for waits, moved := lookUpEvery, true; ; {
		present := a.present()
		there := a.lookUp(ctx, present, a.knownAddresses(present))
		if moved || time.Since(looked) > othersEvery {
			looked = time.Now()
			there = a.withOthers(ctx, there, check)
		}
		there.Several = there.Several || b != nil // who goes through the balancer goes on to do so
		if b == nil && there.Several {
			b = a.openBalancer(ctx, &parts, check)
		}
		a.takeWay(b, present, there)
		timer := time.NewTimer(waits.Step())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.moved:
			timer.Stop()
			moved = true
		case <-timer.C:
			moved = false
		}
	}
}

// takeWay has everything take the way to the API server that there is, unless that is another server by now.
func (a *Agent) takeWay(b *balancer.Balancer, present server, there addresses) {
	a.served.mu.Lock()
	defer a.served.mu.Unlock()
	if a.presentLocked() != present {
		return
	}
	there.Several = there.Several && b != nil
	if there.Several {
		a.balanceTo(b, there)
		a.keepAddresses(there)
	}
	if err := a.serveLocked(present, there); err != nil {
		a.log.Error(err, "Could not have the components take another way to the API server")
	}
}

// balanceTo has the balancer's connections go to one of the addresses.
func (a *Agent) balanceTo(b *balancer.Balancer, there addresses) {
	b.SetServers(there.order(a.bootstrap.NodeName))
	a.balancing.Store(&balancing{Balancer: b, address: hostOf(there.URL)})
}

// openBalancer begins to serve the components. It is nil where another program has the port: they speak to the API server directly.
func (a *Agent) openBalancer(ctx context.Context, parts *sync.WaitGroup, check func(context.Context, string) error) *balancer.Balancer {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.opts.Balancer)
	if err != nil {
		a.unbalanced(err)
		return nil
	}
	a.unbalanced(nil)
	opts := balancer.DefaultOptions()
	opts.Check, opts.Log = check, a.log.WithName("balancer")
	b := balancer.New(opts)
	parts.Go(func() { b.Run(ctx) })
	parts.Go(func() {
		if err := b.Serve(ctx, listener); err != nil {
			a.unbalanced(err)
		}
	})
	return b
}

// unbalanced takes down why there is no balancer although there are several API servers, or with nil that there is one.
func (a *Agent) unbalanced(err error) {
	changed := false
	a.seen.do(func(s *sightings) {
		changed = (s.unbalanced == nil) != (err == nil)
		s.unbalanced = err
	})
	if changed && err != nil {
		a.log.Error(err, "Could not balance the components' connections to the API servers")
	}
	if changed {
		wake(a.dirty)
	}
}

// dialServer connects the agent itself.
func (a *Agent) dialServer(ctx context.Context, network, address string) (net.Conn, error) {
	if b := a.balancing.Load(); b != nil && b.address == address {
		return b.Dial(ctx)
	}
	return (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext(ctx, network, address)
}

// hostOf is host and port that a URL's server is connected to at.
func hostOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	port, err := portOf(server)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// unasked is how long the connection to an address is kept that nobody asks any more. Those of other API servers are asked every five
// minutes while they do not answer.
const unasked = 2 * othersEvery

// serverCheck asks the API servers at their addresses how they are, over one connection to each.
type serverCheck struct {
	agent *Agent
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	now   func() time.Time

	mu     sync.Mutex
	server server
	asked  map[string]*askedServer
}

// askedServer is a way to an API server, and when it was gone last.
type askedServer struct {
	transport http.RoundTripper
	last      time.Time
}

// close ends a connection that nothing goes through: what the transport is wrapped in does not pass that on by itself.
func (s *askedServer) close() { utilnet.CloseIdleConnectionsFor(s.transport) }

func newServerCheck(a *Agent) *serverCheck {
	return &serverCheck{agent: a, dial: (&net.Dialer{}).DialContext, now: time.Now, asked: map[string]*askedServer{}}
}

// ask is nil when the server at an address answers that it is ready, or that it does not want to tell the agent, whose certificate
// may have ended: those of the others are their own business.
func (c *serverCheck) ask(ctx context.Context, address string) (err error) {
	way, server, kept, err := c.way(address)
	if err != nil {
		return err
	}
	if !kept {
		defer way.close() // after the body
	}
	ready, err := url.JoinPath(server, "readyz")
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: way.transport}).Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}

// way is the one to an address, and the URL to ask for there. One that is not known by a certificate yet is not kept.
func (c *serverCheck) way(address string) (way *askedServer, url string, kept bool, err error) {
	present := c.agent.present()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for at, way := range c.asked {
		if c.server != present || at != address && now.Sub(way.last) > unasked {
			way.close()
			delete(c.asked, at)
		}
	}
	c.server = present
	if way := c.asked[address]; way != nil {
		way.last = now
		return way, present.URL, true, nil
	}
	config := c.agent.identityPaths().RESTConfig(present.settings())
	if _, err := os.Stat(config.CertFile); err != nil {
		config.CertFile, config.KeyFile = "", "" // it is yet to get one
	}
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) { return c.dial(ctx, network, address) }
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, "", false, fmt.Errorf("make a client for %s: %w", address, err)
	}
	way = &askedServer{transport: transport, last: now}
	if kept = config.CertFile != ""; kept {
		c.asked[address] = way
	}
	return way, present.URL, kept, nil
}
