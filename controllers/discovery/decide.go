package discovery

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	defaultDomain = "cluster.local"
	// defaultPort is that of an API server by kubeadm's convention.
	defaultPort = "6443"
	// mostListed is how many API servers are named in an error.
	mostListed = 5
)

// decide makes all decisions and returns all errors at once, so that one look tells every flag that is missing.
func decide(given given, found evidence) (v1alpha1.ClusterSettings, error) {
	var settings v1alpha1.ClusterSettings
	var errs [6]error
	settings.Server, errs[0] = server(given, found)
	settings.ServerCA, errs[1] = serverCA(given, found)
	settings.ClientCA, errs[2] = clientCA(given, found)
	settings.ServiceCIDRs, errs[3] = serviceCIDRs(given, found)
	settings.PodCIDRs, errs[4] = podCIDRs(given, found)
	settings.DNSServers, errs[5] = dnsServers(given, found, settings.ServiceCIDRs)
	settings.DNSDomain = domain(given, found)
	return settings, errors.Join(errs[:]...)
}

// server prefers an endpoint with a name, which may be a load balancer, to the address of the one API server. Of several none
// is taken: nodes would have nobody to speak to while that one is away.
func server(given given, found evidence) (string, error) {
	if given.Server != "" {
		parsed, err := url.Parse(given.Server)
		if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" {
			return "", fmt.Errorf("--api-server-url %q is no https:// URL with a host", given.Server)
		}
		return strings.TrimSuffix(given.Server, "/"), nil
	}
	if named := namedServer(found); named != "" {
		return named, nil
	}
	switch servers := endpoints(found.endpoints); len(servers) {
	case 0:
		return "", errors.New("no API server address that nodes reach was found (neither ConfigMap kube-public/cluster-info " +
			"nor EndpointSlices of default/kubernetes have one): set --api-server-url")
	case 1:
		return "https://" + servers[0].String(), nil
	default:
		return "", fmt.Errorf("the cluster has %d API servers (%s) and names no address that is there when one of them is not (neither ConfigMap "+
			"kube-public/cluster-info nor kubeadm's controlPlaneEndpoint has one): set --api-server-url to the URL of what stands before "+
			"all of them, such as a load balancer, a virtual address or a DNS name", len(servers), listed(servers))
	}
}

// namedServer is what the cluster calls its endpoint; empty where it does not.
func namedServer(found evidence) string {
	if info := published(found); info != nil && strings.HasPrefix(info.Server, "https://") {
		return strings.TrimSuffix(info.Server, "/")
	}
	// It is also where somebody took cluster-info away, which anybody may read.
	endpoint := kubeadmConfiguration(found).ControlPlaneEndpoint
	if endpoint == "" {
		return ""
	}
	if host, port, err := net.SplitHostPort(endpoint); err == nil && port != "" {
		return "https://" + net.JoinHostPort(host, port)
	}
	port := defaultPort
	if servers := endpoints(found.endpoints); len(servers) > 0 {
		port = strconv.Itoa(int(servers[0].Port()))
	}
	return "https://" + net.JoinHostPort(strings.Trim(strings.TrimSuffix(endpoint, ":"), "[]"), port)
}

// endpoints are the API servers' addresses that are not of their own machines only, each once and sorted.
func endpoints(endpointSlices []discoveryv1.EndpointSlice) []netip.AddrPort {
	var found []netip.AddrPort
	for _, slice := range endpointSlices {
		for _, port := range slice.Ports {
			if ptr.Deref(port.Name, "") != "https" || port.Port == nil {
				continue
			}
			for _, address := range addresses(slice) {
				found = append(found, netip.AddrPortFrom(address, uint16(*port.Port)))
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.CompactFunc(found, func(a, b netip.AddrPort) bool { return a.Addr() == b.Addr() })
}

func listed(servers []netip.AddrPort) string {
	var names []string
	for _, s := range servers[:min(len(servers), mostListed)] {
		names = append(names, s.Addr().String())
	}
	if len(servers) > mostListed {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

func addresses(slice discoveryv1.EndpointSlice) []netip.Addr {
	var found []netip.Addr
	for _, endpoint := range slice.Endpoints {
		for _, text := range endpoint.Addresses {
			if address, err := netip.ParseAddr(text); err == nil && !address.IsLoopback() && !address.IsUnspecified() {
				found = append(found, address)
			}
		}
	}
	return found
}

func serverCA(given given, found evidence) (string, error) {
	candidates := []string{given.serverCA}
	if info := published(found); info != nil && given.Server == "" {
		candidates = append(candidates, string(info.CertificateAuthorityData))
	}
	return firstCertificates("the API server", "--server-ca-file", append(candidates, found.managerCA)...)
}

func clientCA(given given, found evidence) (string, error) {
	return firstCertificates("the kubelet's clients", "--client-ca-file", given.clientCA, found.clientCA)
}

func firstCertificates(of, flag string, candidates ...string) (string, error) {
	for _, candidate := range candidates {
		if candidate == "" {
			continue
		}
		if err := checkCertificates(candidate); err != nil {
			return "", fmt.Errorf("the authorities of %s that the cluster publishes: %w: set %s", of, err, flag)
		}
		return candidate, nil
	}
	return "", fmt.Errorf("the cluster publishes no authority of %s: set %s", of, flag)
}

// checkCertificates wants at least one certificate and nothing that is none.
func checkCertificates(bundle string) error {
	rest, count := []byte(bundle), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
			return fmt.Errorf("PEM block %d is no certificate", count+1)
		}
		count++
	}
	if count == 0 {
		return errors.New("no PEM certificate in it")
	}
	return nil
}

func domain(given given, found evidence) string {
	for _, candidate := range []string{given.DNSDomain, kubeadmNetworking(found).DNSDomain} {
		if candidate != "" {
			return strings.TrimSuffix(candidate, ".")
		}
	}
	return defaultDomain
}

// published is the cluster in kube-public/cluster-info, or nil.
func published(found evidence) *clientcmdapi.Cluster {
	config, err := clientcmd.Load([]byte(found.clusterInfo))
	if err != nil {
		return nil
	}
	for _, cluster := range config.Clusters {
		return cluster
	}
	return nil
}

type networking struct {
	DNSDomain     string `json:"dnsDomain"`
	PodSubnet     string `json:"podSubnet"`
	ServiceSubnet string `json:"serviceSubnet"`
}

type clusterConfiguration struct {
	ControlPlaneEndpoint string     `json:"controlPlaneEndpoint"`
	Networking           networking `json:"networking"`
}

func kubeadmNetworking(found evidence) networking { return kubeadmConfiguration(found).Networking }

// kubeadmConfiguration is the part of kubeadm's ClusterConfiguration about addresses, which has not changed over its
// versions. What cannot be read counts as absent.
func kubeadmConfiguration(found evidence) clusterConfiguration {
	var configuration clusterConfiguration
	if err := yaml.Unmarshal([]byte(found.kubeadm), &configuration); err != nil {
		return clusterConfiguration{}
	}
	return configuration
}
