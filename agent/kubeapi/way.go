package kubeapi

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
)

const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
)

// way is how an API server is reached.
type way struct {
	base      *url.URL
	transport http.RoundTripper
	dialer    *connrotation.Dialer
}

func newWay(config *rest.Config) (*way, error) {
	base, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	dial := config.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext
	}
	w := &way{base: base, dialer: connrotation.NewDialer(dial)}
	dialed := rest.CopyConfig(config)
	dialed.Dial = w.dialer.DialContext
	if w.transport, err = rest.TransportFor(dialed); err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	return w, nil
}

// router sends requests, which are made for the first way, on the present one.
type router struct {
	first   *way
	present atomic.Pointer[way]
}

func newRouter(first *way) *router {
	r := &router{first: first}
	r.present.Store(first)
	return r
}

// RoundTrip sends a request.
func (r *router) RoundTrip(request *http.Request) (*http.Response, error) {
	w := r.present.Load()
	if w == r.first {
		return w.transport.RoundTrip(request)
	}
	moved := request.Clone(request.Context())
	moved.URL.Scheme, moved.URL.Host, moved.Host = w.base.Scheme, w.base.Host, w.base.Host
	moved.URL.Path = strings.TrimSuffix(w.base.Path, "/") + strings.TrimPrefix(request.URL.Path, strings.TrimSuffix(r.first.base.Path, "/"))
	moved.URL.RawPath = ""
	response, err := w.transport.RoundTrip(moved)
	if err != nil {
		return nil, fmt.Errorf("now at %s: %w", w.base, err) // whoever made the request names the first
	}
	return response, nil
}

// WrappedRoundTripper is for client-go, which looks for what it wrapped.
func (r *router) WrappedRoundTripper() http.RoundTripper { return r.present.Load().transport }

// Close ends the connections that the client has.
func (c *Client) Close() { c.router.present.Load().dialer.CloseAll() }

// Follow has the client speak to the API server of another client from now on. What is under way, such as a watch, is cut off and
// begun anew there by whoever asked.
func (c *Client) Follow(other *Client) {
	next := other.router.present.Load()
	if before := c.router.present.Swap(next); before != next {
		before.dialer.CloseAll()
	}
}
