package agent

import (
	"context"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/status"
)

// certificateMargin is how long before its end a certificate that was not renewed is a failure. The kubelet renews its own
// when a fifth of their time is left.
const certificateMargin = 10 * time.Minute

// probes are the questions behind the conditions, of the generation that runs and the API server that answers. What they take from
// those once is what questions names.
func (a *Agent) probes() []health.Probe {
	g := a.installer.Running()
	socket := a.paths.Socket()
	return status.Probes(&g.Spec, status.Checks{
		Runtime: func(ctx context.Context) error { return health.CRIReady(ctx, socket) },
		Kubelet: a.kubeletHealthy(),
		Proxy:   a.proxyHealthy(),
		Network: a.networkHealthy,
		Disk:    a.diskHealthy,
		Clock:   health.ClockMatches(kubeapi.ServerDate(a.present().settings(), a.dialServer), time.Now),

		RuntimeAlive: func(ctx context.Context) error { return health.CRIAlive(ctx, socket) },
		KubeletAlive: func(ctx context.Context) error { return health.HTTPAlive(ctx, health.KubeletURL) },
		ProxyAlive:   func(ctx context.Context) error { return health.HTTPAlive(ctx, health.ProxyURL) },
	})
}

// kubeletHealthy wants an answer of the kubelet, certificates that are renewed in time, and a Node.
func (a *Agent) kubeletHealthy() func(context.Context) error {
	checks := []func(context.Context) error{func(ctx context.Context) error { return health.KubeletAnswers(ctx, health.KubeletURL) }}
	for _, certificate := range []string{"kubelet-client-current.pem", "kubelet-server-current.pem"} {
		path := filepath.Join(a.paths.KubeletDir, "pki", certificate)
		checks = append(checks, health.CertificateValid(path, certificateMargin, time.Now))
	}
	return health.All(append(checks, a.nodeRegistered)...)
}

// nodeRegistered fails when the kubelet should have registered its Node by now.
func (a *Agent) nodeRegistered(context.Context) error { return a.registration(time.Now()).Failure() }

// proxyHealthy wants an answer of kube-proxy, its rules in the kernel, and the certificate that it reads Services with, which is
// the agent's.
func (a *Agent) proxyHealthy() func(context.Context) error {
	return health.All(
		a.proxyWorks,
		a.proxyCertificate(),
	)
}

// proxyWorks wants an answer of kube-proxy, which does not miss its rules, and the rules.
func (a *Agent) proxyWorks(ctx context.Context) error {
	if err := health.ProxyAnswers(ctx, health.ProxyURL); err != nil {
		return err
	}
	return a.proxy.Failure()
}

func (a *Agent) proxyCertificate() func(context.Context) error {
	return health.CertificateValid(a.identityPaths().Pair(), certificateMargin, time.Now)
}

func (a *Agent) networkHealthy(context.Context) error {
	c := a.network.Health()
	if c.Status == metav1.ConditionTrue {
		return nil
	}
	return &health.Failure{Reason: c.Reason, Message: c.Message}
}

// diskHealthy uses the thresholds that the kubelet evicts at.
func (a *Agent) diskHealthy(ctx context.Context) error {
	dirs := map[string]string{"nodefs": a.paths.KubeletDir, "imagefs": a.paths.ContainerdRoot}
	for filesystem, dir := range dirs {
		dirs[filesystem] = host.NearestDirectory(dir)
	}
	config := component.Config{Spec: a.installer.Running().Spec, Facts: a.running().Facts()}
	return health.DiskFree(dirs, config.EvictionThresholds())(ctx)
}
