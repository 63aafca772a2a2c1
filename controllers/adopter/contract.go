package adopter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	adoptedMessage   = "Drover runs in this cluster and adopted it"
	defaultHTTPSPort = 443
)

var errForeignCluster = errors.New("a Cluster named " + v1alpha1.AdoptedClusterName +
	" exists there that Drover did not make: remove it, or use another namespace for the pool")

// facts are what the contracts ask for about the cluster.
type facts struct {
	endpoint v1alpha1.APIEndpoint
	version  string
}

func (r *Reconciler) observe(ctx context.Context) (facts, error) {
	server, err := r.Server(ctx)
	if err != nil {
		return facts{}, err
	}
	endpoint, err := parseEndpoint(server)
	if err != nil {
		return facts{}, err
	}
	version, err := r.Version()
	if err != nil {
		return facts{}, fmt.Errorf("ask the API server for its version: %w", err)
	}
	return facts{endpoint: endpoint, version: version}, nil
}

func parseEndpoint(server string) (v1alpha1.APIEndpoint, error) {
	parsed, err := url.Parse(server)
	if err != nil || parsed.Hostname() == "" {
		return v1alpha1.APIEndpoint{}, fmt.Errorf("the API server's URL %q has no host: set --api-server-url", server)
	}
	port := int64(defaultHTTPSPort)
	if parsed.Port() != "" {
		if port, err = strconv.ParseInt(parsed.Port(), 10, 32); err != nil || port < 1 || port > 65535 {
			return v1alpha1.APIEndpoint{}, fmt.Errorf("the API server's URL %q has a bad port: set --api-server-url", server)
		}
	}
	host := parsed.Hostname()
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return v1alpha1.APIEndpoint{Host: host, Port: int32(port)}, nil
}

func adoptedMeta(namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace,
		Name:      v1alpha1.AdoptedClusterName,
		Labels: map[string]string{
			v1alpha1.ManagedLabel:      "true",
			clusterv1.ClusterNameLabel: v1alpha1.AdoptedClusterName,
		},
	}
}

func newCluster(namespace string) *clusterv1.Cluster {
	cluster := &clusterv1.Cluster{ObjectMeta: adoptedMeta(namespace)}
	cluster.Labels[v1alpha1.WatchFilterLabel] = v1alpha1.WatchFilterValue
	cluster.Spec.InfrastructureRef = reference("AdoptedCluster")
	cluster.Spec.ControlPlaneRef = reference("AdoptedControlPlane")
	return cluster
}

func reference(kind string) clusterv1.ContractVersionedObjectReference {
	return clusterv1.ContractVersionedObjectReference{
		APIGroup: v1alpha1.GroupVersion.Group, Kind: kind, Name: v1alpha1.AdoptedClusterName,
	}
}

func newAdoptedCluster(namespace string) *v1alpha1.AdoptedCluster {
	return &v1alpha1.AdoptedCluster{ObjectMeta: adoptedMeta(namespace)}
}

func newAdoptedControlPlane(namespace string) *v1alpha1.AdoptedControlPlane {
	return &v1alpha1.AdoptedControlPlane{ObjectMeta: adoptedMeta(namespace)}
}

func (f facts) describeCluster(c *v1alpha1.AdoptedCluster) {
	c.Labels = withLabels(c.Labels, adoptedMeta(c.Namespace).Labels)
	c.Spec.ControlPlaneEndpoint = f.endpoint
}

func (f facts) reportCluster(c *v1alpha1.AdoptedCluster) {
	c.Status.ObservedGeneration = c.Generation
	c.Status.Initialization.Provisioned = ptr.To(true)
	setReady(&c.Status.Conditions, c.Generation)
}

func (f facts) describeControlPlane(c *v1alpha1.AdoptedControlPlane) {
	c.Labels = withLabels(c.Labels, adoptedMeta(c.Namespace).Labels)
	c.Spec.Version = f.version
}

func (f facts) reportControlPlane(c *v1alpha1.AdoptedControlPlane) {
	c.Status.ObservedGeneration = c.Generation
	c.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
	c.Status.ExternalManagedControlPlane = ptr.To(true)
	c.Status.Version = f.version
	setReady(&c.Status.Conditions, c.Generation)
}

func setReady(conditions *[]metav1.Condition, generation int64) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type:               v1alpha1.ReadyCondition,
		Status:             metav1.ConditionTrue,
		Reason:             v1alpha1.ReasonAdopted,
		Message:            adoptedMessage,
		ObservedGeneration: generation,
	})
}

func withLabels(have, want map[string]string) map[string]string {
	if have == nil {
		have = map[string]string{}
	}
	maps.Copy(have, want)
	return have
}
