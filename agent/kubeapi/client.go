package kubeapi

import (
	"context"
	"fmt"
	"net/http"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var (
	scheme = runtime.NewScheme()
	codecs = serializer.NewCodecFactory(scheme)
	params = runtime.NewParameterCodec(scheme)
)

func init() {
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, addCore, addCertificates, addDiscovery} {
		if err := add(scheme); err != nil {
			panic(err) // a kind registered twice is a mistake in this file
		}
	}
}

func addCore(s *runtime.Scheme) error {
	s.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Node{}, &corev1.NodeList{})
	metav1.AddToGroupVersion(s, corev1.SchemeGroupVersion)
	return nil
}

func addCertificates(s *runtime.Scheme) error {
	s.AddKnownTypes(certificatesv1.SchemeGroupVersion, &certificatesv1.CertificateSigningRequest{}, &certificatesv1.CertificateSigningRequestList{})
	metav1.AddToGroupVersion(s, certificatesv1.SchemeGroupVersion)
	return nil
}

func addDiscovery(s *runtime.Scheme) error {
	s.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{})
	metav1.AddToGroupVersion(s, discoveryv1.SchemeGroupVersion)
	return nil
}

// Client makes the agent's requests.
type Client struct {
	core, fleet, certificates, discovery rest.Interface

	router *router
}

// New makes a client that authenticates as the configuration says.
func New(config *rest.Config) (*Client, error) {
	shared := rest.CopyConfig(config)
	shared.UserAgent = "drover-agent"
	first, err := newWay(shared)
	if err != nil {
		return nil, err
	}
	c := &Client{router: newRouter(first)}
	httpClient := &http.Client{Transport: c.router, Timeout: shared.Timeout}
	for _, group := range []struct {
		into    *rest.Interface
		path    string
		version schema.GroupVersion
		content string
	}{
		{&c.core, "/api", corev1.SchemeGroupVersion, runtime.ContentTypeProtobuf},
		{&c.fleet, "/apis", v1alpha1.GroupVersion, runtime.ContentTypeJSON},
		{&c.certificates, "/apis", certificatesv1.SchemeGroupVersion, runtime.ContentTypeJSON},
		{&c.discovery, "/apis", discoveryv1.SchemeGroupVersion, runtime.ContentTypeProtobuf},
	} {
		conf := rest.CopyConfig(shared)
		conf.APIPath, conf.GroupVersion, conf.ContentType = group.path, &group.version, group.content
		conf.NegotiatedSerializer = codecs.WithoutConversion()
		client, err := rest.RESTClientForConfigAndClient(conf, httpClient)
		if err != nil {
			return nil, fmt.Errorf("make a client for %s: %w", group.version, err)
		}
		*group.into = client
	}
	return c, nil
}

// Nodes lists and watches every Node.
func (c *Client) Nodes() cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.core, "nodes", metav1.NamespaceAll, fields.Everything())
}

// NodeAgents lists and watches the NodeAgent of one node.
func (c *Client) NodeAgents(name string) cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.fleet, "nodeagents", metav1.NamespaceAll, fields.OneTermEqualSelector("metadata.name", name))
}

// ListNodeAgents are the NodeAgents of a name as the API server has them now: one or none.
func (c *Client) ListNodeAgents(ctx context.Context, name string) ([]v1alpha1.NodeAgent, error) {
	list := &v1alpha1.NodeAgentList{}
	err := c.fleet.Get().Resource("nodeagents").VersionedParams(named(name), params).Do(ctx).Into(list)
	return list.Items, err
}

// HasNode says whether the API server has a Node of a name now.
func (c *Client) HasNode(ctx context.Context, name string) (bool, error) {
	list := &corev1.NodeList{}
	err := c.core.Get().Resource("nodes").VersionedParams(named(name), params).Do(ctx).Into(list)
	return len(list.Items) > 0, err
}

func named(name string) *metav1.ListOptions {
	return &metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
}

// PatchNodeAgentStatus applies a JSON merge patch to a NodeAgent's status, and returns what became of the object.
func (c *Client) PatchNodeAgentStatus(ctx context.Context, name string, patch []byte) (*v1alpha1.NodeAgent, error) {
	out := &v1alpha1.NodeAgent{}
	return out, c.fleet.Patch(types.MergePatchType).Resource("nodeagents").Name(name).SubResource("status").Body(patch).Do(ctx).Into(out)
}

// CreateCSR creates a certificate request.
func (c *Client) CreateCSR(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	out := &certificatesv1.CertificateSigningRequest{}
	return out, c.certificates.Post().Resource("certificatesigningrequests").Body(csr).Do(ctx).Into(out)
}

// GetCSR reads a certificate request.
func (c *Client) GetCSR(ctx context.Context, name string) (*certificatesv1.CertificateSigningRequest, error) {
	out := &certificatesv1.CertificateSigningRequest{}
	return out, c.certificates.Get().Resource("certificatesigningrequests").Name(name).Do(ctx).Into(out)
}

// WatchCSR watches one certificate request from a resource version on.
func (c *Client) WatchCSR(ctx context.Context, name, resourceVersion string) (watch.Interface, error) {
	opts := &metav1.ListOptions{
		Watch: true, ResourceVersion: resourceVersion,
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(),
	}
	return c.certificates.Get().Resource("certificatesigningrequests").VersionedParams(opts, params).Watch(ctx)
}
