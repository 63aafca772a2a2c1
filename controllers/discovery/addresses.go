package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const (
	// dnsOffset is the DNS Service's place in a range of Service addresses, by kubeadm's convention and others'.
	dnsOffset = 10
	// Installers take Nodes' ranges from one of at least these sizes: kubeadm, k3s and the cloud providers' docs use
	// a /16, and a /56 for IPv6. The range that covers the Nodes seen so far may be smaller, and later ones fall out.
	widest4, widest6 = 16, 56
)

func serviceCIDRs(given given, found evidence) ([]string, error) {
	cidrs, err := firstRanges("--service-cidrs", given.ServiceCIDRs, found.serviceCIDRs, split(kubeadmNetworking(found).ServiceSubnet))
	if err == nil && len(cidrs) == 0 {
		err = errors.New("no range of Service addresses was found (no ServiceCIDR kubernetes): set --service-cidrs")
	}
	return cidrs, err
}

func podCIDRs(given given, found evidence) ([]string, error) {
	cidrs, err := firstRanges("--pod-cidrs", given.PodCIDRs, split(kubeadmNetworking(found).PodSubnet), cover(found.nodePodCIDRs))
	if err == nil && len(cidrs) == 0 {
		err = errors.New("no range of pod addresses was found (neither a kubeadm-config nor a Node with a range): set --pod-cidrs")
	}
	return cidrs, err
}

func dnsServers(given given, found evidence, services []string) ([]string, error) {
	if len(given.DNSServers) > 0 {
		for _, text := range given.DNSServers {
			if _, err := netip.ParseAddr(text); err != nil {
				return nil, fmt.Errorf("--cluster-dns: %q is no IP address", text)
			}
		}
		return given.DNSServers, nil
	}
	if servers := slices.DeleteFunc(slices.Clone(found.dnsServers), func(s string) bool { return s == "None" }); len(servers) > 0 {
		return servers, nil
	}
	var servers []string
	for _, text := range services {
		if server, ok := nth(text, dnsOffset); ok {
			servers = append(servers, server)
		}
	}
	if len(servers) == 0 {
		return nil, errors.New("no address of the cluster's DNS was found: set --cluster-dns")
	}
	return servers, nil
}

// nth is the n-th address of a range, when the range has as many.
func nth(cidr string, n int) (string, bool) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return "", false
	}
	address := prefix.Masked().Addr()
	for range n {
		address = address.Next()
	}
	return address.String(), prefix.Contains(address)
}

// firstRanges is the first of the lists that is not empty, each range in its canonical form.
func firstRanges(flag string, lists ...[]string) ([]string, error) {
	for _, list := range lists {
		if len(list) == 0 {
			continue
		}
		var ranges []string
		for _, text := range list {
			prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
			if err != nil {
				return nil, fmt.Errorf("%q is no address range such as 10.0.0.0/16: set %s", text, flag)
			}
			ranges = append(ranges, prefix.Masked().String())
		}
		return ranges, nil
	}
	return nil, nil
}

// split parses a comma-separated list.
func split(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// cover is, for each family, a range that holds all the given ones and is as wide as installers make them.
func cover(cidrs []string) []string {
	var covers []string
	for _, family := range []struct {
		is4    bool
		widest int
	}{{true, widest4}, {false, widest6}} {
		var joined netip.Prefix
		for _, text := range cidrs {
			prefix, err := netip.ParsePrefix(text)
			if err != nil || prefix.Addr().Is4() != family.is4 {
				continue
			}
			joined = join(joined, prefix)
		}
		if !joined.IsValid() {
			continue
		}
		wide := netip.PrefixFrom(joined.Addr(), min(joined.Bits(), family.widest))
		covers = append(covers, wide.Masked().String())
	}
	return covers
}

// join is the smallest range that holds both.
func join(a, b netip.Prefix) netip.Prefix {
	if !a.IsValid() {
		return b.Masked()
	}
	for bits := min(a.Bits(), b.Bits()); bits > 0; bits-- {
		if candidate := netip.PrefixFrom(a.Addr(), bits).Masked(); candidate.Contains(b.Addr()) {
			return candidate
		}
	}
	return netip.PrefixFrom(a.Addr(), 0).Masked()
}
