package discovery

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups="",resources=configmaps,namespace=kube-public,resourceNames=cluster-info,verbs=get
// +kubebuilder:rbac:groups="",resources=configmaps,namespace=kube-system,resourceNames=extension-apiserver-authentication;kubeadm-config,verbs=get
// +kubebuilder:rbac:groups="",resources=services,namespace=kube-system,resourceNames=kube-dns,verbs=get
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,namespace=default,verbs=list
// +kubebuilder:rbac:groups=networking.k8s.io,resources=servicecidrs,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes,verbs=list;watch

const serviceName = "kubernetes"

// evidence is what the cluster says about itself. Whatever is not there is empty.
type evidence struct {
	// clusterInfo is the kubeconfig in kube-public/cluster-info, where kubeadm publishes the API server.
	clusterInfo string
	// endpoints are the API servers' own addresses.
	endpoints []discoveryv1.EndpointSlice
	// managerCA is the authority that the manager itself trusts.
	managerCA string
	// clientCA is what the API server publishes for extension API servers.
	clientCA string
	// dnsServers are the addresses of the Service kube-system/kube-dns.
	dnsServers []string
	// serviceCIDRs are those of the API server's default ServiceCIDR.
	serviceCIDRs []string
	// kubeadm is the ClusterConfiguration that kubeadm keeps.
	kubeadm string
	// nodePodCIDRs are the pod ranges of Nodes, read only if nothing better is there.
	nodePodCIDRs []string
}

func (d *Discoverer) gather(ctx context.Context, given given) (evidence, error) {
	found, err := d.gatherServer(ctx)
	if err != nil {
		return evidence{}, err
	}
	if found.clientCA, err = d.configMapKey(ctx, metav1.NamespaceSystem, "extension-apiserver-authentication", "client-ca-file"); err != nil {
		return evidence{}, err
	}
	dns := &corev1.Service{}
	if err := d.get(ctx, metav1.NamespaceSystem, "kube-dns", dns); err != nil {
		return evidence{}, err
	}
	found.dnsServers = dns.Spec.ClusterIPs
	services := &networkingv1.ServiceCIDR{}
	if err := d.get(ctx, "", serviceName, services); err != nil {
		return evidence{}, err
	}
	found.serviceCIDRs = services.Spec.CIDRs
	if len(given.PodCIDRs) == 0 && found.kubeadm == "" {
		if found.nodePodCIDRs, err = d.nodePodCIDRs(ctx); err != nil {
			return evidence{}, err
		}
	}
	return found, nil
}

func (d *Discoverer) gatherServer(ctx context.Context) (found evidence, err error) {
	if found.clusterInfo, err = d.configMapKey(ctx, metav1.NamespacePublic, "cluster-info", "kubeconfig"); err != nil {
		return evidence{}, err
	}
	if found.kubeadm, err = d.configMapKey(ctx, metav1.NamespaceSystem, "kubeadm-config", "ClusterConfiguration"); err != nil {
		return evidence{}, err
	}
	slices := &discoveryv1.EndpointSliceList{}
	if err := d.reader.List(ctx, slices, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingLabels{discoveryv1.LabelServiceName: serviceName}); err != nil {
		return evidence{}, fmt.Errorf("list the API server's EndpointSlices: %w", err)
	}
	found.endpoints = slices.Items
	found.managerCA, err = d.managerCA()
	return found, err
}

func (d *Discoverer) managerCA() (string, error) {
	if len(d.config.CAData) > 0 || d.config.CAFile == "" {
		return string(d.config.CAData), nil
	}
	content, err := os.ReadFile(d.config.CAFile)
	if err != nil {
		return "", fmt.Errorf("read the authority of the manager's own configuration: %w", err)
	}
	return string(content), nil
}

func (d *Discoverer) configMapKey(ctx context.Context, namespace, name, key string) (string, error) {
	object := &corev1.ConfigMap{}
	if err := d.get(ctx, namespace, name, object); err != nil {
		return "", err
	}
	return object.Data[key], nil
}

// get leaves the object empty where there is none.
func (d *Discoverer) get(ctx context.Context, namespace, name string, object client.Object) error {
	err := d.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("read %T %s/%s: %w", object, namespace, name, err)
	}
	return nil
}

func (d *Discoverer) nodePodCIDRs(ctx context.Context) ([]string, error) {
	nodes := &corev1.NodeList{}
	if err := d.nodes.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Nodes for their pod ranges: %w", err)
	}
	var cidrs []string
	for i := range nodes.Items {
		cidrs = append(cidrs, nodes.Items[i].Spec.PodCIDRs...)
	}
	return cidrs, nil
}
