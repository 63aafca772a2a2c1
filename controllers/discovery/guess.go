package discovery

import "github.com/drover-dev/drover/api/v1alpha1"

// guesses says which facts nobody told: they follow from something else, or from a convention. A source may also be away for
// a moment only, while somebody replaces the Service kube-dns, say.
type guesses struct{ server, dnsServers, dnsDomain, podCIDRs bool }

func guessed(given given, found evidence) guesses {
	return guesses{
		server:     given.Server == "" && namedServer(found) == "",
		dnsServers: len(given.DNSServers) == 0 && len(found.dnsServers) == 0,
		dnsDomain:  given.DNSDomain == "" && kubeadmNetworking(found).DNSDomain == "",
		podCIDRs:   len(given.PodCIDRs) == 0 && kubeadmNetworking(found).PodSubnet == "",
	}
}

// over are the facts for a node that has some: a guess replaces nothing.
func (g guesses) over(has, found v1alpha1.ClusterSettings) v1alpha1.ClusterSettings {
	if g.server && has.Server != "" {
		found.Server = has.Server
	}
	if g.dnsServers && len(has.DNSServers) > 0 {
		found.DNSServers = has.DNSServers
	}
	if g.dnsDomain && has.DNSDomain != "" {
		found.DNSDomain = has.DNSDomain
	}
	if g.podCIDRs && len(has.PodCIDRs) > 0 {
		found.PodCIDRs = has.PodCIDRs
	}
	return found
}
