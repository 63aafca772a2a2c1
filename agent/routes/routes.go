package routes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/nodes"
)

// Options are what Follow works from.
type Options struct {
	// Kubeconfig is the path of one whose user may get, list and watch Nodes.
	Kubeconfig string
	// PodCIDRs are the ranges of the cluster's pods: no route is made elsewhere.
	PodCIDRs []netip.Prefix
	// ServiceCIDRs are those of its Services, where no pod is.
	ServiceCIDRs []netip.Prefix
	// HealthAddress is where /readyz answers; empty for nowhere.
	HealthAddress string
	// BootstrapPath is where a node has its bootstrap document.
	BootstrapPath string
	Log           logr.Logger
}

// Follow keeps routes to the pods of all Nodes on a machine that is none, until the context ends, and removes them.
// Its log and its health say what it cannot do; it returns an error for what no patience mends.
func Follow(ctx context.Context, opts Options) error {
	if _, err := os.Lstat(opts.BootstrapPath); err == nil {
		return fmt.Errorf("this machine is a node (%s is there), whose agent makes these routes: stop one of the two", opts.BootstrapPath)
	}
	config, err := clientcmd.BuildConfigFromFlags("", opts.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	api, err := kubeapi.New(config)
	if err != nil {
		return err
	}
	follower := &network.Follower{
		PodCIDRs: opts.PodCIDRs, Reserved: opts.ServiceCIDRs, Kernel: network.NewKernel(), Log: opts.Log.WithName("routes"),
	}
	health, err := serveHealth(opts.HealthAddress, follower)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var watching sync.WaitGroup
	var watchErr error
	watching.Go(func() {
		defer stop()
		servers := &serverAddresses{host: config.Host, log: opts.Log}
		changed := func(all []network.Node) { follower.SetNodes(all, servers.now(ctx)...) }
		watch := &nodes.Watch{Changed: changed, Absent: func() {}} // no Node is this machine's
		watchErr = watch.Run(ctx, api.Nodes())
	})
	err = follower.Run(ctx)
	watching.Wait()
	return errors.Join(watchErr, err, health.Close())
}

// lookupTimeout is how long the API server's name may take. Its Nodes were heard just then, so it was found a moment ago.
const lookupTimeout = 5 * time.Second

// serverAddresses are the API server's.
type serverAddresses struct {
	// host is as in a rest.Config: a URL, or what is between its slashes, with an address or a name.
	host  string
	log   logr.Logger
	known []netip.Prefix
}

// now is which they are, or which they were when its name was found last.
func (s *serverAddresses) now(ctx context.Context) []netip.Prefix {
	server, _, err := rest.DefaultServerUrlFor(&rest.Config{Host: s.host})
	if err != nil {
		return nil // with which there is no API server either
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	// An address is looked up as itself.
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", server.Hostname())
	if err != nil {
		s.log.Error(err, "Failed to look up the API server, whose addresses no Node's range may hold", "known", s.known)
		return s.known
	}
	s.known = nil
	for _, a := range addresses {
		a = a.Unmap().WithZone("")
		s.known = append(s.known, netip.PrefixFrom(a, a.BitLen()))
	}
	return s.known
}

// serveHealth answers at /readyz whether anything is wrong. Without an address it does nothing.
func serveHealth(address string, routes routeHealth) (*http.Server, error) {
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: readyz(routes)}
	if address == "" {
		return server, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for questions about health: %w", err)
	}
	go func() { _ = server.Serve(listener) }() // it ends by Close
	return server, nil
}

// routeHealth is what can be said of routes.
type routeHealth interface {
	Ready() error
	Unrouted() []string
}

func readyz(routes routeHealth) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := routes.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
		for _, node := range routes.Unrouted() {
			_, _ = fmt.Fprintln(w, "no route:", node)
		}
	})
	return mux
}
