package agent

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// restartGrace is how long an agent that was started again looks at the components it adopts before it says anything
// about them: they are as healthy as its predecessor left them, and its own restart must not make the node look ill.
const restartGrace = 3 * time.Second

const (
	// clockEvery is the time between two looks at the API server's clock.
	clockEvery = time.Minute
	// certificateEvery is the time between two looks at the agent's own certificate.
	certificateEvery = time.Minute
	// certificateMargin is how long before its end a certificate that was not renewed is a failure. The kubelet renews
	// its own when a fifth of their time is left.
	certificateMargin = 10 * time.Minute
)

// keepStatus has the status written whenever anything that it shows has changed, until the context ends.
func (a *Agent) keepStatus(ctx context.Context) error {
	monitor := health.New(a.supervise, a.log.WithName("health"))
	probes := a.probes()
	monitor.SetProbes(probes...)
	processes, conditions := a.supervise.Changed(), monitor.Changed()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := monitor.Run(ctx); err != nil {
			a.log.Error(err, "Stopped probing")
		}
	}()
	defer func() { <-done }()
	grace := time.NewTimer(restartGrace)
	defer grace.Stop()
	quiet := a.restarted
	look := time.NewTicker(certificateEvery)
	defer look.Stop()
	proxy := a.generation().Spec.Proxy.Mode
	for {
		if now := a.generation().Spec.Proxy.Mode; now != proxy {
			proxy = now
			monitor.SetProbes(a.probes()...)
		}
		probed := monitor.Conditions()
		a.noteSteps(a.supervise.Status(), probed)
		quiet = quiet && !settled(probed) && !a.hindered()
		if !quiet {
			a.publish(probed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grace.C:
			quiet = false
		case <-processes:
		case <-conditions:
		case <-a.dirty:
		case <-look.C:
		}
	}
}

// settled says whether every part of the node was looked at and none is still starting.
func settled(probed []metav1.Condition) bool {
	for _, name := range conditionOrder[1:] {
		c := apimeta.FindStatusCondition(probed, name)
		if c == nil || c.Status == metav1.ConditionUnknown || c.Reason == v1alpha1.ReasonStarting || c.Reason == v1alpha1.ReasonWaitingForDependency {
			return false
		}
	}
	return true
}

func (a *Agent) hindered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hindrance != nil
}

func (a *Agent) generation() *generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// publish puts together what is known now.
func (a *Agent) publish(probed []metav1.Condition) {
	found := append(a.supervise.Status(), a.network.Status())
	a.mu.Lock()
	current, hindrance, findings := a.current, a.hindrance, a.findings
	a.mu.Unlock()
	findings = append(slices.Clone(findings), a.network.Findings()...)
	remark := ""
	if missing := a.servingCertificateMissing(time.Now()); missing != nil {
		findings = append(findings, *missing)
	}
	if overdue := a.certificateOverdue(time.Now()); overdue != nil {
		findings, remark = append(findings, *overdue), overdue.Message
	}
	finding.Sort(findings)
	steps := a.timeline.list()
	a.reporter.Update(func(s *v1alpha1.NodeAgentStatus) {
		s.ObservedGeneration, s.Revision, s.AgentVersion = current.ObservedGeneration, current.Spec.Revision, a.opts.Version
		s.Components = components(found, current.Spec.Proxy.Mode)
		s.Findings, s.BootTimeline = findings, steps
		s.Conditions = assemble(s.Conditions, probed, current.ObservedGeneration, hindrance, remark)
	})
}

// noteSteps reads the steps of joining off the components.
func (a *Agent) noteSteps(found []v1alpha1.ComponentStatus, probed []metav1.Condition) {
	for _, c := range found {
		switch {
		case c.Name == v1alpha1.ComponentContainerd && c.State == v1alpha1.ComponentRunning:
			a.timeline.done(stepContainerdReady)
			a.timeline.done(stepImagesImported) // containerd counts as ready once it has the bundle's images
		case c.Name == v1alpha1.ComponentKubelet && c.PID != nil:
			a.timeline.done(stepKubeletStarted)
			if c.State == v1alpha1.ComponentRunning {
				a.timeline.done(stepKubeletReady)
			}
			if a.isNodeReady(c.StartedAt.Time) {
				a.timeline.done(stepNodeReady)
			}
		}
	}
	if slices.ContainsFunc(probed, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.NetworkHealthyCondition && c.Status == metav1.ConditionTrue
	}) {
		a.timeline.done(stepNetworkReady)
	}
}

// isNodeReady says whether the Node is Ready by the word of the kubelet that runs. After a reboot the Node still shows
// what the one before it said, until this one has reported; an adopted kubelet has reported long ago.
func (a *Agent) isNodeReady(kubeletStarted time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.heartbeat.IsZero() && !a.heartbeat.Before(kubeletStarted.Truncate(time.Second))
}

// probes are the questions behind the conditions.
func (a *Agent) probes() []health.Probe {
	g := a.generation()
	socket := a.paths.Socket()
	return []health.Probe{
		{
			Condition: v1alpha1.RuntimeHealthyCondition, Component: v1alpha1.ComponentContainerd,
			Check: func(ctx context.Context) error { return health.CRIReady(ctx, socket) }, Healthy: "containerd runs containers",
		},
		{
			Condition: v1alpha1.KubeletHealthyCondition, Component: v1alpha1.ComponentKubelet,
			Check: a.kubeletHealthy(), Healthy: "kubelet syncs pods",
		},
		{
			Condition: v1alpha1.ProxyHealthyCondition, Component: v1alpha1.ComponentKubeProxy, Disabled: g.Spec.Proxy.Mode == v1alpha1.ProxyModeNone,
			Check: a.proxyHealthy(), Healthy: "kube-proxy keeps Services' rules",
		},
		{
			Condition: v1alpha1.NetworkHealthyCondition, Disabled: g.Spec.Network.Mode == v1alpha1.NetworkModeExternal,
			Check: a.networkHealthy, Healthy: "pods' routes and rules are in place",
		},
		{
			Condition: v1alpha1.DiskHealthyCondition, Check: a.diskHealthy, Healthy: "there is room for pods and images",
		},
		{
			Condition: v1alpha1.ClockSynchronizedCondition, Every: clockEvery, RetryEvery: time.Second,
			Check:   health.ClockMatches(kubeapi.ServerDate(g.Spec.Cluster), time.Now),
			Healthy: "the clock is within 2s of the API server's",
		},
	}
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

// proxyHealthy wants an answer of kube-proxy and the certificate that it reads Services with, which is the agent's.
func (a *Agent) proxyHealthy() func(context.Context) error {
	return health.All(
		func(ctx context.Context) error { return health.ProxyAnswers(ctx, health.ProxyURL) },
		a.proxyCertificate(),
	)
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
	a.mu.Lock()
	config := component.Config{Spec: a.current.Spec, Facts: a.facts}
	a.mu.Unlock()
	return health.DiskFree(dirs, config.EvictionThresholds())(ctx)
}
