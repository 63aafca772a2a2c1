package discovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// freshness is how long facts are taken for current. They change when an administrator moves the cluster.
const freshness = time.Minute

// Overrides are facts that the administrator gave by flags. An empty one is found out.
type Overrides struct {
	// Server is the API server's URL as nodes reach it: --api-server-url.
	Server string
	// ServerCAFile has the authorities of the API server's certificate, in PEM: --server-ca-file.
	ServerCAFile string
	// ClientCAFile has the authorities of the kubelet's clients, in PEM: --client-ca-file.
	ClientCAFile string
	// DNSServers are the addresses of the cluster's DNS service: --cluster-dns.
	DNSServers []string
	// DNSDomain is the domain of the cluster's DNS names: --cluster-domain.
	DNSDomain string
	// ServiceCIDRs are the ranges of Service addresses: --service-cidrs.
	ServiceCIDRs []string
	// PodCIDRs are the ranges that Nodes' pod ranges are taken from: --pod-cidrs.
	PodCIDRs []string
}

// Discoverer finds out the facts and remembers them for a minute. It is safe for concurrent use.
type Discoverer struct {
	reader    client.Reader
	config    *rest.Config
	overrides Overrides
	now       func() time.Time

	mutex   sync.Mutex
	found   v1alpha1.ClusterSettings
	foundAt time.Time
}

// New makes a Discoverer. The reader must read live: no kind that it reads is cached for it. The configuration is the
// manager's own and has an authority to trust where the cluster publishes none.
func New(reader client.Reader, config *rest.Config, overrides Overrides) *Discoverer {
	return &Discoverer{reader: reader, config: config, overrides: overrides, now: time.Now}
}

// Discover returns the facts, or an error that names, for each fact that could not be found out, the flag to give it by.
func (d *Discoverer) Discover(ctx context.Context) (v1alpha1.ClusterSettings, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if !d.foundAt.IsZero() && d.now().Sub(d.foundAt) < freshness {
		return *d.found.DeepCopy(), nil
	}
	given, err := d.overrides.read()
	if err != nil {
		return v1alpha1.ClusterSettings{}, err
	}
	evidence, err := d.gather(ctx, given)
	if err != nil {
		return v1alpha1.ClusterSettings{}, fmt.Errorf("find out about the cluster: %w", err)
	}
	found, err := decide(given, evidence)
	if err != nil {
		return v1alpha1.ClusterSettings{}, err
	}
	d.found, d.foundAt = found, d.now()
	return *found.DeepCopy(), nil
}

// Server returns the API server's URL as nodes reach it, also where other facts cannot be found out.
func (d *Discoverer) Server(ctx context.Context) (string, error) {
	if d.overrides.Server != "" {
		return d.overrides.Server, nil
	}
	evidence, err := d.gatherServer(ctx)
	if err != nil {
		return "", fmt.Errorf("find out the API server's URL: %w", err)
	}
	return server(given{}, evidence)
}

// given is Overrides with the files' contents.
type given struct {
	Overrides
	serverCA, clientCA string
}

func (o Overrides) read() (given, error) {
	read := func(flag, path string) (string, error) {
		if path == "" {
			return "", nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the file of %s: %w", flag, err)
		}
		if err := checkCertificates(string(content)); err != nil {
			return "", fmt.Errorf("the file of %s: %w", flag, err)
		}
		return string(content), nil
	}
	serverCA, serverErr := read("--server-ca-file", o.ServerCAFile)
	clientCA, clientErr := read("--client-ca-file", o.ClientCAFile)
	return given{Overrides: o, serverCA: serverCA, clientCA: clientCA}, errors.Join(serverErr, clientErr)
}
