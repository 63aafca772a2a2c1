package agent

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// served is what the kubeconfigs name.
type served struct {
	mu        sync.Mutex
	server    server // the zero value before anybody asked
	addresses addresses
}

// present is the API server that the agent speaks to and that the kubeconfigs name. The generation that runs may ask for another
// one, which has not answered yet.
func (a *Agent) present() server {
	a.served.mu.Lock()
	defer a.served.mu.Unlock()
	return a.presentLocked()
}

func (a *Agent) presentLocked() server {
	if a.served.server == (server{}) {
		a.served.server = a.firstServer()
		a.served.addresses = a.knownAddresses(a.served.server)
	}
	return a.served.server
}

// through is what the kubeconfigs name in the API server's place, empty for nothing.
func (a *Agent) through() string {
	a.served.mu.Lock()
	defer a.served.mu.Unlock()
	a.presentLocked()
	return a.wayTo(a.served.addresses)
}

// wayTo is what the kubeconfigs name in the place of an API server with those addresses, empty for nothing.
func (a *Agent) wayTo(there addresses) string {
	if there.Several {
		return a.opts.Balancer
	}
	return ""
}

// moveTo has the components speak to an API server that has answered. It may be repeated: an agent that is killed before the server
// is kept begins with the one before.
func (a *Agent) moveTo(ctx context.Context, next server) error {
	there := a.lookUp(ctx, next, a.knownAddresses(next))
	defer wake(a.dirty)
	defer wake(a.moved)
	a.served.mu.Lock()
	defer a.served.mu.Unlock()
	// Whoever goes through the balancer goes on to do so, and nobody does before there is one.
	b := a.balancing.Load()
	there.Several = b != nil
	if b != nil {
		a.balanceTo(b.Balancer, there)
	}
	return a.serveLocked(next, there)
}

// serveLocked has the kubeconfigs name a server, or a way to it, and those read them anew that have read something else.
func (a *Agent) serveLocked(next server, there addresses) error {
	before := a.presentLocked()
	through, way := a.wayTo(a.served.addresses), a.wayTo(there)
	if next == before && way == through {
		a.served.addresses = there
		return nil
	}
	if a.hasIdentity() {
		if err := a.writeKubeconfigsLocked(next, way); err != nil {
			return err
		}
	}
	a.served.server, a.served.addresses = next, there
	for _, name := range unaware(before, next, way != through) {
		a.supervise.Restart(name, "it is to speak to another API server, or in another way")
	}
	return nil
}

// unaware are the components that do not see by themselves that their kubeconfig names another server, or another way to it. The
// kubelet makes its connections with what it reads when it starts. kube-proxy's client library reads the file with the authorities
// again, within five minutes, but not the address.
func unaware(before, next server, otherWay bool) []string {
	switch {
	case otherWay || next.URL != before.URL:
		return []string{v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy}
	case next != before:
		return []string{v1alpha1.ComponentKubelet}
	default:
		return nil
	}
}

// writeKubeconfigs has the agent's kubeconfig, which is kube-proxy's too, and the kubelet's name the API server that answers.
func (a *Agent) writeKubeconfigs() error {
	a.served.mu.Lock()
	defer a.served.mu.Unlock()
	present := a.presentLocked()
	return a.writeKubeconfigsLocked(present, a.wayTo(a.served.addresses))
}

func (a *Agent) writeKubeconfigsLocked(s server, through string) error {
	if err := a.identityPaths().WriteKubeconfig(s.settings(), through); err != nil {
		return err
	}
	return a.kubelet().Follow(s.settings(), through)
}

// kubelet is the node's, as the API server knows it.
func (a *Agent) kubelet() *identity.Kubelet {
	return &identity.Kubelet{
		Paths: a.identityPaths(), Node: a.bootstrap.NodeName, Kubeconfig: a.paths.KubeletKubeconfig, CertDir: a.paths.KubeletCertDir(),
	}
}

// askAsKubelet is nil when the API server knows the kubelet, or the kubelet has no certificate to be known by: it gets one with the
// agent's identity then.
func (a *Agent) askAsKubelet(ctx context.Context, s server) error {
	pair := a.kubelet().Pair()
	if _, err := os.Stat(pair); err != nil || health.CertificateValid(pair, 0, time.Now)(ctx) != nil {
		return nil
	}
	config := a.configOf(s)
	config.CertFile, config.KeyFile = pair, pair
	api, err := kubeapi.New(config)
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	if _, err := api.HasNode(ctx, a.bootstrap.NodeName); err != nil {
		return fmt.Errorf("with the kubelet's certificate: %w", err)
	}
	return nil
}
