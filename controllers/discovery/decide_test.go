package discovery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func clusterInfo(server, ca string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: %s\n    certificate-authority-data: %s\n",
		server, base64.StdEncoding.EncodeToString([]byte(ca)))
}

func slicesOf(port int32, addresses ...string) []discoveryv1.EndpointSlice {
	slice := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: &port}}}
	for _, address := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
	}
	return []discoveryv1.EndpointSlice{slice}
}

const kubeadm = "networking:\n  dnsDomain: corp.local\n  podSubnet: 10.1.0.0/16,fd01::/48\n  serviceSubnet: 10.2.0.0/16\n"

func TestDecide(t *testing.T) {
	published, own, client := certificate(t), certificate(t), certificate(t)
	full := evidence{
		clusterInfo: clusterInfo("https://lb.example.org:6443/", published), endpoints: slicesOf(6443, "192.0.2.7"), managerCA: own,
		clientCA: client, dnsServers: []string{"10.2.0.53"}, serviceCIDRs: []string{"10.2.0.0/16"}, kubeadm: kubeadm,
	}
	with := func(change func(*evidence)) evidence { e := full; change(&e); return e }
	want := v1alpha1.ClusterSettings{
		Server: "https://lb.example.org:6443", ServerCA: published, ClientCA: client, DNSServers: []string{"10.2.0.53"},
		DNSDomain: "corp.local", ServiceCIDRs: []string{"10.2.0.0/16"}, PodCIDRs: []string{"10.1.0.0/16", "fd01::/48"},
	}
	wantWith := func(change func(*v1alpha1.ClusterSettings)) v1alpha1.ClusterSettings {
		w := *want.DeepCopy()
		change(&w)
		return w
	}
	for _, test := range []struct {
		reason string
		given  given
		found  evidence
		want   v1alpha1.ClusterSettings
		err    string
	}{
		{reason: "a cluster that kubeadm made says all", found: full, want: want},
		{
			reason: "what is given wins, and a given server is not checked with what is published for another",
			given: given{Overrides: Overrides{Server: "https://10.88.0.1:6443", DNSServers: []string{"10.96.0.10"}, DNSDomain: "cluster.local.",
				ServiceCIDRs: []string{"10.96.0.1/16"}, PodCIDRs: []string{"10.244.0.0/16"}}, clientCA: own},
			found: full,
			want: v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: own, ClientCA: own, DNSServers: []string{"10.96.0.10"},
				DNSDomain: "cluster.local", ServiceCIDRs: []string{"10.96.0.0/16"}, PodCIDRs: []string{"10.244.0.0/16"}},
		},
		{
			reason: "without cluster-info the one address that is not loopback serves, with the manager's own authority",
			found: with(func(e *evidence) {
				e.clusterInfo, e.endpoints = "", append(slicesOf(443, "127.0.0.1", "192.0.2.8"), slicesOf(443, "192.0.2.8")...)
			}),
			want: wantWith(func(w *v1alpha1.ClusterSettings) { w.Server, w.ServerCA = "https://192.0.2.8:443", own }),
		},
		{
			reason: "without cluster-info what kubeadm calls its control plane serves for several API servers",
			found: with(func(e *evidence) {
				e.clusterInfo, e.endpoints = "", slicesOf(6443, "192.0.2.7", "192.0.2.8")
				e.kubeadm = "controlPlaneEndpoint: api.example.org:8443\n" + kubeadm
			}),
			want: wantWith(func(w *v1alpha1.ClusterSettings) { w.Server, w.ServerCA = "https://api.example.org:8443", own }),
		},
		{
			reason: "kubeadm's control plane without a port has that of the API servers",
			found: with(func(e *evidence) {
				e.clusterInfo, e.endpoints, e.kubeadm = "", slicesOf(443, "192.0.2.7"), "controlPlaneEndpoint: api.example.org\n"+kubeadm
			}),
			want: wantWith(func(w *v1alpha1.ClusterSettings) { w.Server, w.ServerCA = "https://api.example.org:443", own }),
		},
		{
			reason: "kubeadm's control plane without a port, and no API servers listed",
			found: with(func(e *evidence) {
				e.clusterInfo, e.endpoints, e.kubeadm = "", nil, "controlPlaneEndpoint: fd00::1\n"+kubeadm
			}),
			want: wantWith(func(w *v1alpha1.ClusterSettings) { w.Server, w.ServerCA = "https://[fd00::1]:6443", own }),
		},
		{
			reason: "none of several API servers is taken for all",
			found: with(func(e *evidence) {
				e.clusterInfo, e.endpoints = "", slicesOf(6443, "192.0.2.9", "127.0.0.1", "192.0.2.8", "192.0.2.8")
			}),
			err: "2 API servers (192.0.2.8, 192.0.2.9) and names no address that is there when one of them is not (neither ConfigMap kube-public/cluster-info nor kubeadm's controlPlaneEndpoint has one): set --api-server-url",
		},
		{
			reason: "one of several that is named is",
			given:  given{Overrides: Overrides{Server: "https://vip.example.org:6443"}},
			found:  with(func(e *evidence) { e.clusterInfo, e.endpoints = "", slicesOf(6443, "192.0.2.9", "192.0.2.8") }),
			want:   wantWith(func(w *v1alpha1.ClusterSettings) { w.Server, w.ServerCA = "https://vip.example.org:6443", own }),
		},
		{
			reason: "IPv6 addresses are bracketed",
			found:  with(func(e *evidence) { e.clusterInfo, e.endpoints = "", slicesOf(6443, "fd00::1") }),
			want:   wantWith(func(w *v1alpha1.ClusterSettings) { w.Server, w.ServerCA = "https://[fd00::1]:6443", own }),
		},
		{
			reason: "without a kube-dns Service the tenth address of each range is DNS",
			found:  with(func(e *evidence) { e.dnsServers, e.serviceCIDRs = nil, []string{"10.96.0.0/12", "fd02::/112"} }),
			want: wantWith(func(w *v1alpha1.ClusterSettings) {
				w.DNSServers, w.ServiceCIDRs = []string{"10.96.0.10", "fd02::a"}, []string{"10.96.0.0/12", "fd02::/112"}
			}),
		},
		{
			reason: "without kubeadm the Nodes' ranges are taken to be from a /16, and the domain is the usual one",
			found: with(func(e *evidence) {
				e.kubeadm, e.nodePodCIDRs = "", []string{"10.42.3.0/24", "10.42.0.0/24", "fd03:0:0:7::/64"}
			}),
			want: wantWith(func(w *v1alpha1.ClusterSettings) {
				w.PodCIDRs, w.DNSDomain = []string{"10.42.0.0/16", "fd03::/56"}, "cluster.local"
			}),
		},
		{reason: "no address that nodes reach", found: with(func(e *evidence) { e.clusterInfo, e.endpoints = "", slicesOf(6443, "127.0.0.1") }), err: "--api-server-url"},
		{reason: "a given URL without TLS", given: given{Overrides: Overrides{Server: "http://a"}}, found: full, err: "--api-server-url"},
		{reason: "no authority of the server", found: with(func(e *evidence) { e.clusterInfo, e.managerCA = "", "" }), err: "--server-ca-file"},
		{reason: "no authority of clients", found: with(func(e *evidence) { e.clientCA = "" }), err: "--client-ca-file"},
		{reason: "an authority that is none", found: with(func(e *evidence) { e.clientCA = "junk" }), err: "--client-ca-file"},
		{reason: "no Service range", found: with(func(e *evidence) { e.serviceCIDRs, e.kubeadm = nil, "" }), err: "--service-cidrs"},
		{reason: "no pod range", found: with(func(e *evidence) { e.kubeadm = "" }), err: "--pod-cidrs"},
		{reason: "a given range that is none", given: given{Overrides: Overrides{PodCIDRs: []string{"10.0.0.0"}}}, found: full, err: "--pod-cidrs"},
		{reason: "a given DNS address that is none", given: given{Overrides: Overrides{DNSServers: []string{"dns"}}}, found: full, err: "--cluster-dns"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, err := decide(test.given, test.found)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want an error that names %s", err, test.err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("error %v, difference (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestAGuessReplacesNothing(t *testing.T) {
	certificate := certificate(t)
	bare := evidence{
		endpoints: slicesOf(6443, "192.0.2.7"), managerCA: certificate, clientCA: certificate, serviceCIDRs: []string{"10.2.0.0/16"},
		nodePodCIDRs: []string{"10.42.0.0/24"},
	}
	told := bare
	told.clusterInfo, told.kubeadm, told.dnsServers = clusterInfo("https://lb.example.org:6443", certificate), kubeadm, []string{"10.2.0.53"}
	for _, test := range []struct {
		reason                    string
		given                     given
		found                     evidence
		has                       v1alpha1.ClusterSettings
		server, dns, domain, pods string
	}{
		{
			reason: "what is told does", found: told, has: v1alpha1.ClusterSettings{Server: "https://old", ServerCA: "old", DNSServers: []string{"10.0.0.1"}, DNSDomain: "old", PodCIDRs: []string{"10.9.0.0/16"}},
			server: "https://lb.example.org:6443", dns: "10.2.0.53", domain: "corp.local", pods: "10.1.0.0/16,fd01::/48",
		},
		{
			reason: "what is guessed does not", found: bare, has: v1alpha1.ClusterSettings{Server: "https://old", ServerCA: "old", DNSServers: []string{"10.0.0.1"}, DNSDomain: "old", PodCIDRs: []string{"10.9.0.0/16"}},
			server: "https://old", dns: "10.0.0.1", domain: "old", pods: "10.9.0.0/16",
		},
		{
			reason: "who has nothing gets the guess", found: bare,
			server: "https://192.0.2.7:6443", dns: "10.2.0.10", domain: "cluster.local", pods: "10.42.0.0/16",
		},
		{
			reason: "what is given is no guess", found: bare, has: v1alpha1.ClusterSettings{Server: "https://old", DNSServers: []string{"10.0.0.1"}, DNSDomain: "old", PodCIDRs: []string{"10.9.0.0/16"}},
			given:  given{Overrides: Overrides{Server: "https://new", DNSServers: []string{"10.2.0.9"}, DNSDomain: "new", PodCIDRs: []string{"10.8.0.0/16"}}},
			server: "https://new", dns: "10.2.0.9", domain: "new", pods: "10.8.0.0/16",
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			found, err := decide(test.given, test.found)
			if err != nil {
				t.Fatal(err)
			}
			got := guessed(test.given, test.found).over(test.has, found)
			want := v1alpha1.ClusterSettings{
				Server: test.server, ServerCA: certificate, ClientCA: certificate, ServiceCIDRs: []string{"10.2.0.0/16"},
				DNSServers: strings.Split(test.dns, ","), DNSDomain: test.domain, PodCIDRs: strings.Split(test.pods, ","),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
