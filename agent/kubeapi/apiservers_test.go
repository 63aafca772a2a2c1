package kubeapi

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestTheAPIServersAreThoseOfTheClustersOwnService(t *testing.T) {
	server := apiserver.Shared(t)
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	slice := func(name, service, port string, addresses ...string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr.To(port), Port: ptr.To[int32](6443)}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: addresses}},
		}
	}
	for _, s := range []*discoveryv1.EndpointSlice{
		slice("more", "kubernetes", "https", "10.1.0.2"), slice("again", "kubernetes", "https", "10.1.0.1"),
		slice("other-port", "kubernetes", "http", "10.1.0.3"), slice("other", "other", "https", "10.1.0.4"),
	} {
		if _, err := client.DiscoveryV1().EndpointSlices(corev1.NamespaceDefault).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	api, err := New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.APIServers(bounded(t))
	got = slices.DeleteFunc(got, func(at netip.AddrPort) bool { return at.Port() != 6443 }) // the test's own server is at another
	want := []netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:6443"), netip.MustParseAddrPort("10.1.0.2:6443")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}
