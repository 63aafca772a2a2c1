package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/drover-dev/drover/agent/balancer"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// addresses are where the API server of a URL is. They are on disk, for a machine that boots before there is a resolver.
type addresses struct {
	URL string `json:"server"`
	// At are host and port of those that its host stands for.
	At []string `json:"addresses"`
	// Others are the cluster's other API servers, which have answered as this one.
	Others []string `json:"others,omitempty"`
	// Several says that there was more than one: the way that components take does not change when one of two goes for a while.
	Several bool `json:"several"`
}

func (a *Agent) addressesPath() string { return filepath.Join(a.opts.StateDir, "api-addresses.json") }

// knownAddresses are those that were found last, none where nothing is known of that server.
func (a *Agent) knownAddresses(s server) (known addresses) {
	data, err := os.ReadFile(a.addressesPath())
	if err != nil || json.Unmarshal(data, &known) != nil || known.URL != s.URL {
		return addresses{URL: s.URL}
	}
	return known
}

// lookUp asks the resolver for a server's addresses. What it does not know stays as it was known.
func (a *Agent) lookUp(ctx context.Context, s server, known addresses) addresses {
	ctx, cancel := context.WithTimeout(ctx, addressPatience)
	defer cancel()
	port, err := portOf(s.URL)
	if err != nil {
		return known
	}
	found, err := a.system.ServerAddresses(ctx, s.URL)
	if err != nil {
		a.log.V(1).Info("Went on with the API server's addresses as they were known", "server", s.URL, "cause", err.Error())
		return known
	}
	// Of a name that has both, one server may have an address of either family. The resolver has those first that can be reached.
	found = slices.DeleteFunc(slices.Clone(found), func(ip netip.Addr) bool { return ip.Is4() != found[0].Is4() })
	there := addresses{URL: s.URL, Others: known.Others, Several: known.Several || len(found) > 1}
	for _, ip := range found {
		there.At = append(there.At, net.JoinHostPort(ip.String(), port))
	}
	slices.Sort(there.At)
	there.At = slices.Compact(there.At)
	return there
}

// withOthers adds the cluster's other API servers, by what those say themselves: a URL may name one of them, or what is before all.
// One that does not answer as the server of that URL is of no use; and where a cluster has one server, its address is no other.
func (a *Agent) withOthers(ctx context.Context, there addresses, check func(context.Context, string) error) addresses {
	api := a.api.Load()
	if api == nil {
		return there
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	servers, err := api.APIServers(ctx)
	if err != nil {
		a.log.V(1).Info("Went on with the cluster's API servers as they were known", "cause", err.Error())
		return there
	}
	known := there.Others
	there.Others = nil
	for _, server := range servers {
		at := server.String()
		if len(servers) > 1 && !slices.Contains(there.At, at) && (slices.Contains(known, at) || check(ctx, at) == nil) {
			there.Others = append(there.Others, at)
		}
	}
	there.Several = there.Several || len(there.Others) > 0
	return there
}

// order is that in which a node prefers the addresses: those that the URL stands for are what the cluster's nodes are meant to use.
func (s addresses) order(node string) []string {
	at := s.At
	if len(at) == 0 {
		at = []string{hostOf(s.URL)} // nobody was asked yet, or no resolver has answered
	}
	return slices.Concat(balancer.Order(node, at), balancer.Order(node, s.Others))
}

func portOf(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	return cmp.Or(u.Port(), "443"), nil
}

// keepAddresses takes down addresses of which there are several: of one the URL itself says enough.
func (a *Agent) keepAddresses(there addresses) {
	if !there.Several {
		return
	}
	data, err := json.Marshal(there)
	if err == nil {
		_, err = atomicfile.WriteIfChanged(a.addressesPath(), data, 0o644)
	}
	if err != nil {
		a.log.Error(err, "Could not take down the API server's addresses")
	}
}
