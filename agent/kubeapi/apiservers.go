package kubeapi

import (
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// kubernetesService is the Service that each API server puts its own address into.
const kubernetesService = "kubernetes"

// APIServers are where the cluster's API servers say that they are, as far as that is no address of their own machines alone. They
// are read from the API server's cache: they seldom change.
func (c *Client) APIServers(ctx context.Context) ([]netip.AddrPort, error) {
	list := &discoveryv1.EndpointSliceList{}
	opts := &metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + kubernetesService, ResourceVersion: "0"}
	if err := c.discovery.Get().Namespace(corev1.NamespaceDefault).Resource("endpointslices").VersionedParams(opts, params).Do(ctx).Into(list); err != nil {
		return nil, err
	}
	return endpoints(list.Items), nil
}

func endpoints(of []discoveryv1.EndpointSlice) []netip.AddrPort {
	var found []netip.AddrPort
	for _, slice := range of {
		for _, port := range slice.Ports {
			if ptr.Deref(port.Name, "") == "https" && port.Port != nil {
				found = append(found, at(slice.Endpoints, uint16(*port.Port))...)
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found)
}

func at(endpoints []discoveryv1.Endpoint, port uint16) []netip.AddrPort {
	var found []netip.AddrPort
	for _, endpoint := range endpoints {
		for _, text := range endpoint.Addresses {
			if ip, err := netip.ParseAddr(text); err == nil && !ip.IsLoopback() && !ip.IsUnspecified() {
				found = append(found, netip.AddrPortFrom(ip.Unmap(), port))
			}
		}
	}
	return found
}
