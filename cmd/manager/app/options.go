package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/drover-dev/drover/controllers/discovery"
	"github.com/drover-dev/drover/controllers/engine"
)

// Options is what the flags say.
type Options struct {
	// ClusterAPI says who runs Cluster API's reconcilers.
	ClusterAPI string
	// Kubeconfig is the file to reach the cluster with. Default: $KUBECONFIG, the Pod's own or ~/.kube/config.
	Kubeconfig string
	// LeaderElect lets one of several replicas work at a time.
	LeaderElect bool
	// LeaderElectionNamespace has the lease, and the ConfigMap that stops the fleet. Default: drover-system.
	LeaderElectionNamespace string
	// MetricsBindAddress is where metrics are served over TLS; 0 turns them off.
	MetricsBindAddress string
	// MetricsCertDir has tls.crt and tls.key for it. Default: a certificate signed by itself.
	MetricsCertDir string
	// HealthProbeBindAddress is where /healthz and /readyz are served; 0 turns them off.
	HealthProbeBindAddress string
	// LogFormat is text or json, LogLevel how much to say: 0 for what happens, 2 for why, 4 for each request.
	LogFormat string
	LogLevel  int

	// LocalRoot is the directory of local machines; empty turns the local provider off.
	LocalRoot string
	// AgentBinaries are the agents put onto machines: a file for the manager's own architecture, "linux/<architecture>=file"
	// for another. Default: those beside the manager's own binary, drover-agent and drover-agent-<architecture>. Without
	// any, neither local machines nor Hosts are served.
	AgentBinaries []string
	// SharedBundles is the directory of unpacked bundles that local machines read. Default: <LocalRoot>/../bundles.
	SharedBundles string

	// ArtifactRoot is the directory of artifacts to serve; empty turns the endpoint off.
	ArtifactRoot, ArtifactBindAddress, ArtifactCertFile, ArtifactKeyFile string

	// Discovery overrides what is found out about the cluster.
	Discovery discovery.Overrides

	// agents are the files of AgentBinaries by architecture.
	agents map[string]string
	// repeated allows several managers in one process, which only tests start.
	repeated bool
	// leaseDuration is how long a leader that says nothing is waited for. Default: controller-runtime's 15 s.
	leaseDuration time.Duration
}

// DefaultOptions are those of a manager without flags.
func DefaultOptions() Options {
	return Options{
		ClusterAPI:              string(engine.Embedded),
		LeaderElectionNamespace: "drover-system",
		MetricsBindAddress:      ":8443",
		HealthProbeBindAddress:  ":8081",
		ArtifactBindAddress:     ":5443",
		LogFormat:               logFormatText,
	}
}

// ForTests allows several managers in one process and turns their endpoints off.
func (o Options) ForTests() Options {
	o.MetricsBindAddress, o.HealthProbeBindAddress, o.repeated = "0", "0", true
	return o
}

// AddFlags registers a flag for each option.
func (o *Options) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.ClusterAPI, "cluster-api", o.ClusterAPI, "who runs Cluster API's reconcilers: embedded (this process) or external (a Cluster API you installed)")
	f.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "kubeconfig `file`; by default $KUBECONFIG, the Pod's service account or ~/.kube/config")
	f.BoolVar(&o.LeaderElect, "leader-elect", o.LeaderElect, "let one of several replicas work at a time")
	f.StringVar(&o.LeaderElectionNamespace, "leader-election-namespace", o.LeaderElectionNamespace, "`namespace` of the leader's lease, and of the ConfigMap drover-stop")
	f.StringVar(&o.MetricsBindAddress, "metrics-bind-address", o.MetricsBindAddress, "`address` for metrics over TLS, for those who may get the URL /metrics; 0 turns them off")
	f.StringVar(&o.MetricsCertDir, "metrics-cert-dir", o.MetricsCertDir, "`directory` with tls.crt and tls.key for metrics; by default a certificate signed by itself")
	f.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", o.HealthProbeBindAddress, "`address` for /healthz and /readyz; 0 turns them off")
	f.StringVar(&o.LogFormat, "log-format", o.LogFormat, "text or json")
	f.IntVar(&o.LogLevel, "log-level", o.LogLevel, "how much to log: 0 what happens, 2 why, 4 details")

	f.StringVar(&o.LocalRoot, "local-root", o.LocalRoot, "`directory` of local machines; empty turns the local provider off")
	f.StringArrayVar(&o.AgentBinaries, "agent-binary", o.AgentBinaries, "`file` that is put onto local machines and Hosts as their agent, or linux/<architecture>=file for Hosts of another architecture than this binary's; may be repeated; by default drover-agent and drover-agent-<architecture> beside this binary")
	f.StringVar(&o.SharedBundles, "shared-bundles", o.SharedBundles, "`directory` of unpacked bundles that local machines share read-only; by default <local-root>/../bundles")

	f.StringVar(&o.ArtifactRoot, "artifact-root", o.ArtifactRoot, "`directory` of bundles and images to serve; empty turns the endpoint off")
	f.StringVar(&o.ArtifactBindAddress, "artifact-bind-address", o.ArtifactBindAddress, "`address` to serve them at")
	f.StringVar(&o.ArtifactCertFile, "artifact-cert-file", o.ArtifactCertFile, "the endpoint's certificate")
	f.StringVar(&o.ArtifactKeyFile, "artifact-key-file", o.ArtifactKeyFile, "the endpoint's key")

	d := &o.Discovery
	f.StringVar(&d.Server, "api-server-url", d.Server, "the API server's `URL` as nodes reach it; by default what kube-public/cluster-info or kubeadm-config say, or the address of the one API server; with several and no name for all of them it must be set")
	f.StringVar(&d.ServerCAFile, "server-ca-file", d.ServerCAFile, "authorities of the API server's certificate")
	f.StringVar(&d.ClientCAFile, "client-ca-file", d.ClientCAFile, "authorities of the kubelets' clients")
	f.StringSliceVar(&d.DNSServers, "cluster-dns", d.DNSServers, "`addresses` of the cluster's DNS")
	f.StringVar(&d.DNSDomain, "cluster-domain", d.DNSDomain, "`domain` of the cluster's DNS names")
	f.StringSliceVar(&d.ServiceCIDRs, "service-cidrs", d.ServiceCIDRs, "`ranges` of Service addresses")
	f.StringSliceVar(&d.PodCIDRs, "pod-cidrs", d.PodCIDRs, "`ranges` that Nodes' pod ranges are taken from")
}

// complete checks the options and fills in what depends on others.
func (o Options) complete() (Options, error) {
	if !slices.Contains([]string{string(engine.Embedded), string(engine.External)}, o.ClusterAPI) {
		return o, fmt.Errorf("--cluster-api is %q: it must be embedded or external", o.ClusterAPI)
	}
	if !slices.Contains([]string{logFormatText, logFormatJSON}, o.LogFormat) {
		return o, fmt.Errorf("--log-format is %q: it must be text or json", o.LogFormat)
	}
	if o.ArtifactRoot != "" && (o.ArtifactCertFile == "" || o.ArtifactKeyFile == "") {
		return o, fmt.Errorf("--artifact-root needs --artifact-cert-file and --artifact-key-file: nodes fetch over TLS only")
	}
	o, err := o.completeAgents()
	if err != nil || o.LocalRoot == "" {
		return o, err
	}
	return o.completeLocal()
}

func (o Options) completeLocal() (Options, error) {
	var err error
	if o.LocalRoot, err = filepath.Abs(o.LocalRoot); err != nil {
		return o, fmt.Errorf("--local-root: %w", err)
	}
	if o.SharedBundles == "" {
		o.SharedBundles = filepath.Join(filepath.Dir(o.LocalRoot), "bundles")
	}
	return o, nil
}
