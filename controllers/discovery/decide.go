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

const defaultDomain = "cluster.local"

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

// server prefers the published endpoint, which may be a load balancer, to the address of one API server.
func server(given given, found evidence) (string, error) {
	if given.Server != "" {
		parsed, err := url.Parse(given.Server)
		if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" {
			return "", fmt.Errorf("--api-server-url %q is no https:// URL with a host", given.Server)
		}
		return strings.TrimSuffix(given.Server, "/"), nil
	}
	if info := published(found); info != nil && strings.HasPrefix(info.Server, "https://") {
		return strings.TrimSuffix(info.Server, "/"), nil
	}
	if address := endpoint(found.endpoints); address != "" {
		return "https://" + address, nil
	}
	return "", errors.New("no API server address that nodes reach was found (neither ConfigMap kube-public/cluster-info " +
		"nor EndpointSlices of default/kubernetes have one): set --api-server-url")
}

// endpoint is the lowest address that is not of the API server's machine only, so that every manager finds the same.
func endpoint(endpointSlices []discoveryv1.EndpointSlice) string {
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
	if len(found) == 0 {
		return ""
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return net.JoinHostPort(found[0].Addr().String(), strconv.Itoa(int(found[0].Port())))
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

// kubeadmNetworking is the part of kubeadm's ClusterConfiguration about addresses, which has not changed over its
// versions. What cannot be read counts as absent.
func kubeadmNetworking(found evidence) networking {
	var configuration struct {
		Networking networking `json:"networking"`
	}
	if err := yaml.Unmarshal([]byte(found.kubeadm), &configuration); err != nil {
		return networking{}
	}
	return configuration.Networking
}
