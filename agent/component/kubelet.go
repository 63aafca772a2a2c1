package component

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/supervise"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const defaultShutdownGrace = 30 // seconds

// RegisterNoNode has a kubelet leave the API server's Nodes alone but for the status of its own, where that is there.
const RegisterNoNode = "--register-node=false"

func addKubelet(plan *Plan, cfg Config) error {
	nodeIP, err := cfg.nodeIP()
	if err != nil {
		return err
	}
	clientCA := cfg.Paths.config("client-ca.crt")
	config, err := renderYAML(cfg.kubeletConfig(clientCA))
	if err != nil {
		return fmt.Errorf("render the kubelet's configuration: %w", err)
	}
	path := cfg.Paths.config("kubelet.yaml")
	// The kubelet reads the CA bundle again by itself, so that is no reason to restart.
	plan.add(File{Path: clientCA, Content: []byte(cfg.Spec.Cluster.ClientCA), Mode: 0o644})
	digest := plan.add(File{Path: path, Content: config, Mode: 0o644})
	plan.Processes = append(plan.Processes, supervise.Process{
		Name:    fleetv1.ComponentKubelet,
		Version: cfg.Bundle.Versions["kubelet"],
		Path:    cfg.Bundle.Bin("kubelet"),
		Args: []string{
			"--config=" + path,
			"--bootstrap-kubeconfig=" + cfg.Paths.AgentKubeconfig,
			"--kubeconfig=" + cfg.Paths.KubeletKubeconfig,
			"--root-dir=" + cfg.Paths.KubeletDir,
			"--cert-dir=" + cfg.Paths.KubeletCertDir(),
			"--hostname-override=" + cfg.NodeName,
			"--node-ip=" + nodeIP,
		},
		Env:          environment(cfg.Bundle.Bin("kubelet")),
		LogFile:      cfg.Paths.log(fleetv1.ComponentKubelet),
		DependsOn:    []string{fleetv1.ComponentContainerd},
		ConfigDigest: digest,
		OOMScoreAdj:  cfg.oomScore(),
		StopTimeout:  20 * time.Second,
		Ready:        func(ctx context.Context) error { return health.KubeletAnswers(ctx, health.KubeletURL) },
	})
	return nil
}

// kubeletConfig is the kubelet's configuration. What is not set has upstream's default.
func (c *Config) kubeletConfig(clientCA string) *kubeletv1beta1.KubeletConfiguration {
	logSize, logFiles := c.containerLogs()
	config := &kubeletv1beta1.KubeletConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: kubeletv1beta1.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},

		Authentication: kubeletv1beta1.KubeletAuthentication{
			X509:      kubeletv1beta1.KubeletX509Authentication{ClientCAFile: clientCA},
			Webhook:   kubeletv1beta1.KubeletWebhookAuthentication{Enabled: ptr.To(true)},
			Anonymous: kubeletv1beta1.KubeletAnonymousAuthentication{Enabled: ptr.To(false)},
		},
		Authorization:      kubeletv1beta1.KubeletAuthorization{Mode: kubeletv1beta1.KubeletAuthorizationModeWebhook},
		RotateCertificates: true,
		ServerTLSBootstrap: true,
		HealthzBindAddress: "127.0.0.1",
		HealthzPort:        ptr.To[int32](10248),

		ContainerRuntimeEndpoint: "unix://" + c.Paths.Socket(),
		CgroupDriver:             c.Facts.CgroupDriver,
		ClusterDNS:               c.Spec.Cluster.DNSServers,
		ClusterDomain:            c.Spec.Cluster.DNSDomain,
		ResolverConfig:           ptr.To(c.Paths.ResolvConf),
		ProviderID:               c.ProviderID,
		StaticPodPath:            c.Paths.StaticPodDir,
		RegisterWithTaints:       coreTaints(c.Taints),

		MaxPods:              c.maxPods(),
		KubeReserved:         c.kubeReserved(),
		SystemReserved:       c.systemReserved(),
		EvictionHard:         c.EvictionThresholds(),
		FailSwapOn:           ptr.To(ptr.Deref(c.Spec.Kubelet.FailSwapOn, false)),
		MemorySwap:           kubeletv1beta1.MemorySwapConfiguration{SwapBehavior: c.swapBehavior()},
		ContainerLogMaxSize:  logSize,
		ContainerLogMaxFiles: ptr.To(logFiles),
		SerializeImagePulls:  ptr.To(false),
		AllowedUnsafeSysctls: c.Spec.Kubelet.AllowedUnsafeSysctls,
		SeccompDefault:       ptr.To(true),
	}
	if c.Facts.SharesHost {
		config.CgroupRoot = c.Facts.CgroupRoot
		// The disk is the host's, however full that keeps it: images are collected for want of space only.
		config.ImageGCHighThresholdPercent = ptr.To[int32](100)
		config.ImageGCLowThresholdPercent = ptr.To[int32](80)
	}
	if c.Facts.CgroupVersion == 1 {
		config.FailCgroupV1 = ptr.To(false)
	}
	if !c.Facts.CanRaiseOOMScore {
		config.OOMScoreAdj = ptr.To[int32](0)
	}
	if c.Facts.CgroupDriver == host.CgroupDriverSystemd || c.Facts.HasSystemd {
		// The kubelet delays a shutdown through logind.
		grace := time.Duration(ptr.Deref(c.Spec.Kubelet.ShutdownGracePeriodSeconds, defaultShutdownGrace)) * time.Second
		config.ShutdownGracePeriod.Duration = grace
		config.ShutdownGracePeriodCriticalPods.Duration = (grace / 3).Truncate(time.Second)
	}
	return config
}

// swapBehavior is what pods get of the machine's swap.
func (c *Config) swapBehavior() string {
	if c.Spec.Kubelet.SwapBehavior == "" {
		return string(fleetv1.NoSwap)
	}
	return string(c.Spec.Kubelet.SwapBehavior)
}

func coreTaints(taints []fleetv1.Taint) []corev1.Taint {
	var result []corev1.Taint
	for _, taint := range taints {
		result = append(result, corev1.Taint{Key: taint.Key, Value: string(taint.Value), Effect: taint.Effect})
	}
	return result
}
