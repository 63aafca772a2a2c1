package component

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentbasev1alpha1 "k8s.io/component-base/config/v1alpha1"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/supervise"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// addProxy adds kube-proxy unless the network replaces it. It depends on nothing: it waits for its Node by itself,
// and Services should come back although the kubelet does not. It only lets the kubelet go first.
func addProxy(plan *Plan, cfg Config) error {
	mode := cfg.proxyMode()
	if mode == fleetv1.ProxyModeNone {
		return nil
	}
	config, err := renderYAML(cfg.proxyConfig(mode))
	if err != nil {
		return fmt.Errorf("render kube-proxy's configuration: %w", err)
	}
	path := cfg.Paths.config("kube-proxy.yaml")
	digest := plan.add(File{Path: path, Content: config, Mode: 0o644})
	plan.Processes = append(plan.Processes, supervise.Process{
		Name:         fleetv1.ComponentKubeProxy,
		Version:      cfg.Bundle.Versions["kube-proxy"],
		Path:         cfg.Bundle.Bin("kube-proxy"),
		Args:         []string{"--config=" + path},
		Env:          environment(cfg.Bundle.Bin("kube-proxy")),
		LogFile:      cfg.Paths.log(fleetv1.ComponentKubeProxy),
		ConfigDigest: digest,
		OOMScoreAdj:  cfg.oomScore(),
		// The node waits for the kubelet, and no new pod comes to a node that is not Ready.
		After: []string{fleetv1.ComponentKubelet},
		Ready: func(ctx context.Context) error { return health.ProxyAnswers(ctx, health.ProxyURL) },
	})
	return nil
}

func (c *Config) proxyMode() fleetv1.ProxyMode {
	if c.Spec.Proxy.Mode == "" {
		return fleetv1.ProxyModeNFTables
	}
	return c.Spec.Proxy.Mode
}

// proxyConfig is kube-proxy's configuration. What is zero has upstream's default.
func (c *Config) proxyConfig(mode fleetv1.ProxyMode) *proxyv1alpha1.KubeProxyConfiguration {
	config := &proxyv1alpha1.KubeProxyConfiguration{
		TypeMeta:         metav1.TypeMeta{APIVersion: proxyv1alpha1.SchemeGroupVersion.String(), Kind: "KubeProxyConfiguration"},
		ClientConnection: componentbasev1alpha1.ClientConnectionConfiguration{Kubeconfig: c.Paths.AgentKubeconfig},
		HostnameOverride: c.NodeName,
		Mode:             proxyv1alpha1.ProxyMode(mode),
		ClusterCIDR:      strings.Join(c.Spec.Cluster.PodCIDRs, ","),
		// Load balancers ask every node for its health; metrics are the node's own business.
		HealthzBindAddress: "0.0.0.0:10256",
		MetricsBindAddress: "127.0.0.1:10249",
	}
	if !c.Facts.CanRaiseOOMScore {
		config.OOMScoreAdj = ptr.To[int32](0)
	}
	if !ptr.Deref(c.Facts.ConntrackWritable, false) {
		// Zero leaves the kernel's limit alone, where kube-proxy would otherwise end with an error; without connection
		// tracking as well, for then there is no limit to set.
		config.Conntrack.MaxPerCore, config.Conntrack.Min = ptr.To[int32](0), ptr.To[int32](0)
	}
	return config
}
