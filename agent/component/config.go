package component

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/node"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// Config is everything the components' configuration depends on.
type Config struct {
	// NodeName is the Node's name.
	NodeName string
	// ProviderID is the Node's provider ID; empty leaves it to a cloud controller manager.
	ProviderID string
	// Taints are on the Node when it registers.
	Taints []fleetv1.Taint
	// Spec is the desired state.
	Spec fleetv1.NodeAgentSpec
	// Facts are those of the machine.
	Facts host.Facts
	// Bundle has the programs.
	Bundle *bundle.Bundle
	// InPlace names the components whose programs are run from the bundle's own directory, as by an agent that knew no
	// paths by content.
	InPlace []string
	// PodCIDRs are the node's own ranges of pod addresses as far as they are known; they bound the number of pods.
	PodCIDRs []string
	// Paths are where things are. Default: DefaultPaths.
	Paths Paths
}

// Paths are where the components' files are on a node.
type Paths struct {
	// ConfigDir takes the rendered files.
	ConfigDir string
	// LogDir takes one log a component.
	LogDir string
	// AgentKubeconfig is the agent's identity: the kubelet makes its own with it, and kube-proxy uses it.
	AgentKubeconfig string
	// KubeletKubeconfig is written by the kubelet when it has its identity.
	KubeletKubeconfig string
	// KubeletDir is the kubelet's root directory; its certificates are in pki below it.
	KubeletDir string
	// ContainerdRoot and ContainerdState are containerd's lasting and passing state.
	ContainerdRoot  string
	ContainerdState string
	// CNIConfDir has the pod network's configuration.
	CNIConfDir string
	// StaticPodDir has the manifests of static pods, which are not the agent's. Empty: the kubelet takes none.
	StaticPodDir string
	// ResolvConf is the file that tells pods which DNS servers the machine uses.
	ResolvConf string
}

// DefaultPaths are the paths of a node.
func DefaultPaths() Paths {
	return Paths{
		ConfigDir:         "/etc/drover/components",
		LogDir:            node.LogDir,
		AgentKubeconfig:   filepath.Join(node.StateDir, "agent.kubeconfig"),
		KubeletKubeconfig: filepath.Join(node.StateDir, "kubelet.kubeconfig"),
		KubeletDir:        "/var/lib/kubelet",
		ContainerdRoot:    "/var/lib/containerd",
		ContainerdState:   "/run/containerd",
		CNIConfDir:        "/etc/cni/net.d",
		StaticPodDir:      node.StaticPodDir,
		ResolvConf:        "/etc/resolv.conf",
	}
}

// Socket is the path of containerd's socket.
func (p Paths) Socket() string { return filepath.Join(p.ContainerdState, "containerd.sock") }

// KubeletCertDir is where the kubelet keeps its certificates.
func (p Paths) KubeletCertDir() string { return filepath.Join(p.KubeletDir, "pki") }

func (p Paths) config(name string) string { return filepath.Join(p.ConfigDir, name) }

func (p Paths) log(component string) string { return filepath.Join(p.LogDir, component+".log") }

// Plan is what to put onto the node and what to run there.
type Plan struct {
	// Files are what the processes read.
	Files []File
	// Processes are the components that have one.
	Processes []supervise.Process
	// Findings are where the node gets something else than what the user set.
	Findings []fleetv1.Finding

	registryDir, staticPodDir string
}

// Build works out the plan. An error is a mistake in the spec or a bundle that lacks something.
func Build(cfg Config) (*Plan, error) {
	if cfg.Bundle == nil {
		return nil, errors.New("no bundle to run components from")
	}
	if cfg.Paths == (Paths{}) {
		cfg.Paths = DefaultPaths()
	}
	plan := &Plan{registryDir: cfg.registryDir(), staticPodDir: cfg.Paths.StaticPodDir, Findings: cfg.findings()}
	for _, part := range []struct {
		name string
		add  func(*Plan, Config) error
	}{
		{fleetv1.ComponentContainerd, addContainerd}, {fleetv1.ComponentKubelet, addKubelet}, {fleetv1.ComponentKubeProxy, addProxy},
	} {
		of := cfg
		if slices.Contains(cfg.InPlace, part.name) {
			of.Bundle = cfg.Bundle.InPlace()
		}
		if err := part.add(plan, of); err != nil {
			return nil, err
		}
	}
	for i := range plan.Processes {
		plan.Processes[i].Cgroup = cfg.cgroup(plan.Processes[i].Name)
	}
	return plan, nil
}

// StartedInPlace names the components that an agent which knew no paths by content has started as they are wanted still: they go on
// as they are, and with the programs that they were started with.
func StartedInPlace(cfg Config, started func(supervise.Process) bool) []string {
	if cfg.Bundle == nil {
		return nil
	}
	cfg.Bundle = cfg.Bundle.InPlace()
	plan, err := Build(cfg)
	if err != nil {
		return nil // as Build says again
	}
	var names []string
	for _, p := range plan.Processes {
		if started(p) {
			names = append(names, p.Name)
		}
	}
	return names
}

// cgroup is the directory of a component's cgroup, empty for the agent's own.
func (c *Config) cgroup(component string) string {
	if c.Facts.ComponentCgroup == "" {
		return ""
	}
	return filepath.Join("/sys/fs/cgroup", c.Facts.ComponentCgroup, component)
}

// environment is a component's: the programs beside its own come first.
func environment(program string) []string {
	return []string{
		"PATH=" + filepath.Dir(program) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
	}
}
