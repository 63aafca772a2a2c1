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

const (
	// Freshness is how long facts are taken for current. They change when an administrator moves the cluster.
	Freshness = 30 * time.Second
	// failedFor is how long a failure is: those who wait for facts ask one by one, each of their machines.
	failedFor = 5 * time.Second
	// gatherWithin is how long asking may take, while which others wait for the answer.
	gatherWithin = 20 * time.Second
)

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

// Discoverer finds out the facts and remembers them for half a minute. It is safe for concurrent use.
type Discoverer struct {
	reader    client.Reader
	nodes     client.Reader
	config    *rest.Config
	overrides Overrides
	now       func() time.Time

	mutex   sync.Mutex
	found   v1alpha1.ClusterSettings
	guessed guesses
	foundAt time.Time
	// failure is why they could not be found out since, nil when they could.
	failure  error
	failedAt time.Time
}

// New makes a Discoverer. The reader must read live: no kind that it reads is cached for it. Nodes are, as there may be
// thousands; their reader reads from that cache. The configuration is the manager's own and has an authority to trust where
// the cluster publishes none.
func New(reader, nodes client.Reader, config *rest.Config, overrides Overrides) *Discoverer {
	return &Discoverer{reader: reader, nodes: nodes, config: config, overrides: overrides, now: time.Now}
}

// Discover returns the facts, or an error that names, for each fact that could not be found out, the flag to give it by.
func (d *Discoverer) Discover(ctx context.Context) (v1alpha1.ClusterSettings, error) {
	return d.Update(ctx, v1alpha1.ClusterSettings{})
}

// Update returns the facts for a node that has some, or Discover's error. What it has is not replaced by a guess, such as that
// of the DNS service's address while the Service kube-dns is not there.
func (d *Discoverer) Update(ctx context.Context, has v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if err := d.refresh(ctx); err != nil {
		return v1alpha1.ClusterSettings{}, err
	}
	return d.guessed.over(has, *d.found.DeepCopy()), nil
}

// refresh finds out the facts, unless that was done lately.
func (d *Discoverer) refresh(ctx context.Context) error {
	if d.failure != nil && d.now().Sub(d.failedAt) < failedFor {
		return d.failure
	}
	if !d.foundAt.IsZero() && d.now().Sub(d.foundAt) < Freshness {
		return nil
	}
	found, guessed, err := d.find(ctx)
	if ctx.Err() != nil {
		return err // it was not the cluster's
	}
	if d.failure = err; err != nil {
		d.failedAt = d.now()
		return err
	}
	d.found, d.guessed, d.foundAt = found, guessed, d.now()
	return nil
}

func (d *Discoverer) find(ctx context.Context) (v1alpha1.ClusterSettings, guesses, error) {
	given, err := d.overrides.read()
	if err != nil {
		return v1alpha1.ClusterSettings{}, guesses{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, gatherWithin)
	defer cancel()
	evidence, err := d.gather(ctx, given)
	if err != nil {
		return v1alpha1.ClusterSettings{}, guesses{}, fmt.Errorf("find out about the cluster: %w", err)
	}
	found, err := decide(given, evidence)
	return found, guessed(given, evidence), err
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
