// Package layout says where things are in the development world: files under .drover, addresses and ports.
package layout

import (
	"fmt"
	"path/filepath"
)

// The network of the development world. docs/architecture.md shows it.
const (
	Bridge        = "drover0"
	BridgeCIDR    = "10.88.0.1/24"
	HostAddress   = "10.88.0.1"
	PodCIDR       = "10.244.0.0/16"
	ServiceCIDR   = "10.96.0.0/16"
	APIServerIP   = "10.96.0.1"
	DNSAddress    = "10.96.0.10"
	DNSDomain     = "cluster.local"
	NFTable       = "drover_dev"
	CgroupName    = "drover"
	ManagerUser   = "system:serviceaccount:drover-system:drover-manager"
	ManagerSystem = "drover-system"
	RoutesUser    = "drover-routes"
)

// Ports that the world listens on.
const (
	APIServerPort         = 6443
	ArtifactPort          = 5443
	EtcdPort              = 2379
	EtcdPeerPort          = 2380
	ControllerManagerPort = 10257
	SchedulerPort         = 10259
	ManagerMetricsPort    = 8443
	ManagerProbePort      = 8081
	RoutesProbePort       = 8082
)

// APIServer is the API server's URL, as the host and the nodes reach it.
var APIServer = fmt.Sprintf("https://%s:%d", HostAddress, APIServerPort)

// Artifacts is host and port of the artifact endpoint, as image names spell it.
var Artifacts = fmt.Sprintf("%s:%d", HostAddress, ArtifactPort)

// Port is one the world listens on, and what for.
type Port struct {
	Number int
	Use    string
}

// Ports are all of them.
func Ports() []Port {
	return []Port{
		{EtcdPort, "etcd"},
		{EtcdPeerPort, "etcd's peers"},
		{APIServerPort, "kube-apiserver"},
		{ControllerManagerPort, "kube-controller-manager"},
		{SchedulerPort, "kube-scheduler"},
		{ManagerMetricsPort, "the manager's metrics"},
		{ManagerProbePort, "the manager's probes"},
		{RoutesProbePort, "the probe of the routes to pods"},
		{ArtifactPort, "the artifact endpoint"},
	}
}

// Layout is the files of one development world.
type Layout struct {
	// Repository is the checkout, an absolute path.
	Repository string
}

// New returns the layout of the checkout at dir.
func New(dir string) (Layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Layout{}, fmt.Errorf("find the repository: %w", err)
	}
	return Layout{Repository: abs}, nil
}

// Root is the folder of everything that is not committed.
func (l Layout) Root() string { return filepath.Join(l.Repository, ".drover") }

// Path joins elements to Root.
func (l Layout) Path(elem ...string) string {
	return filepath.Join(append([]string{l.Root()}, elem...)...)
}

// Bin is the folder of the binaries; with a name, that binary.
func (l Layout) Bin(name ...string) string { return l.Path(append([]string{"bin"}, name...)...) }

// PKI is the folder of keys, certificates and kubeconfigs; with a name, that file.
func (l Layout) PKI(name ...string) string { return l.Path(append([]string{"pki"}, name...)...) }

// EtcdPKI is a file of etcd's own authority, which signs for nobody but etcd and the API server.
func (l Layout) EtcdPKI(name string) string { return l.PKI("etcd", name) }

// FrontProxyPKI is a file of the authority by which aggregated APIs know the API server, and take its word for who calls.
func (l Layout) FrontProxyPKI(name string) string { return l.PKI("front-proxy", name) }

// HostRecord is the copy of the record of whichever world is on this host. It is gone after the host's next boot, as
// all that it tells of.
const HostRecord = "/run/drover-dev.json"

// Journal is the file that records what was done to the host.
func (l Layout) Journal() string { return l.Path("world.json") }

// Kubeconfig is the administrator's.
func (l Layout) Kubeconfig() string { return l.Path("kubeconfig") }

// Logs is the folder of the log files; with a name, that process's.
func (l Layout) Logs(name ...string) string {
	if len(name) == 0 {
		return l.Path("logs")
	}
	return l.Path("logs", name[0]+".log")
}

// Machines is the local provider's folder.
func (l Layout) Machines() string { return l.Path("machines") }

// Bundles is the folder of the unpacked bundles that local machines share.
func (l Layout) Bundles() string { return l.Path("bundles") }

// Artifacts is the folder that the artifact endpoint serves.
func (l Layout) Artifacts() string { return l.Path("artifacts") }

// Digests names what the artifact endpoint serves.
func (l Layout) Digests() string { return l.Path("artifacts", "digests.json") }

// Etcd is etcd's data.
func (l Layout) Etcd() string { return l.Path("etcd") }

// VM is the folder of the virtual machines and their image; with elements, a file in it.
func (l Layout) VM(elem ...string) string { return l.Path(append([]string{"vm"}, elem...)...) }

// Samples is the folder of the samples rendered with digests.
func (l Layout) Samples() string { return l.Path("samples") }

// ClusterAPI is the manifest of Cluster API's CRDs, made when building.
func (l Layout) ClusterAPI() string { return l.Path("cluster-api-crds.yaml") }

// Config is a folder of the repository's kustomizations.
func (l Layout) Config(name string) string { return filepath.Join(l.Repository, "config", name) }
