package sshd

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is an HTTP proxy that knows CONNECT alone.
type Proxy struct {
	address     string
	credentials string
	refuse      atomic.Bool
	connections atomic.Int64
}

// StartProxy starts a proxy that ends with the test. With credentials ("user:password") it demands them.
func StartProxy(t testing.TB, credentials string) *Proxy {
	t.Helper()
	listener, _, _ := listen(t, local)
	p := &Proxy{address: listener.Addr().String(), credentials: credentials}
	server := &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// URL is how the proxy is reached, with its credentials.
func (p *Proxy) URL() string {
	if p.credentials == "" {
		return "http://" + p.address
	}
	return "http://" + p.credentials + "@" + p.address
}

// Refuse says whether the proxy refuses from now on.
func (p *Proxy) Refuse(refuse bool) { p.refuse.Store(refuse) }

// Connections is how many it made so far.
func (p *Proxy) Connections() int { return int(p.connections.Load()) }

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.credentials))
	switch {
	case r.Method != http.MethodConnect:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case p.credentials != "" && r.Header.Get("Proxy-Authorization") != want:
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case p.refuse.Load():
		w.WriteHeader(http.StatusForbidden)
		return
	}
	to, err := net.DialTimeout("tcp", r.Host, 10*time.Second)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = to.Close() }()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	from, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer func() { _ = from.Close() }()
	p.connections.Add(1)
	_, _ = fmt.Fprint(from, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		defer func() { _ = to.Close() }()
		_, _ = io.Copy(to, from)
	}()
	_, _ = io.Copy(from, to)
}
