package agent

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// servingPatience is how long after its start a kubelet may be without a certificate to serve with.
const servingPatience = 2 * time.Minute

// setNode takes down whether there is a Node of this machine's name.
func (a *Agent) setNode(is health.Presence) {
	a.mu.Lock()
	a.node = is
	a.mu.Unlock()
}

// kubeletStarted is when the kubelet that runs was started, zero when none does.
func (a *Agent) kubeletStarted() time.Time {
	for _, s := range a.supervise.Status() {
		if s.Name == v1alpha1.ComponentKubelet && s.PID != nil {
			return s.StartedAt.Time
		}
	}
	return time.Time{}
}

// nodeRegistered fails when the kubelet should have registered its Node by now.
func (a *Agent) nodeRegistered(context.Context) error { return a.registration(time.Now()).Failure() }

func (a *Agent) registration(now time.Time) health.Registration {
	a.mu.Lock()
	node := a.node
	a.mu.Unlock()
	return health.Registration{
		Name: a.bootstrap.NodeName, Node: node, KubeletStarted: a.kubeletStarted(), AgentStarted: a.timeline.start, Now: now,
		KubeletSaid: func(text string) string { return a.supervise.LastLine(v1alpha1.ComponentKubelet, text) },
		LogFile:     filepath.Join(a.paths.LogDir, v1alpha1.ComponentKubelet+".log"),
	}
}

// servingCertificateMissing is the finding of a kubelet that has run for a while without a certificate to serve with. The node
// works, but for logs and exec.
func (a *Agent) servingCertificateMissing(now time.Time) *v1alpha1.Finding {
	started := a.kubeletStarted()
	if started.IsZero() || now.Sub(started) < servingPatience {
		return nil
	}
	if _, err := os.Stat(filepath.Join(a.paths.KubeletCertDir(), "kubelet-server-current.pem")); err == nil {
		return nil
	}
	f := finding.Warning(finding.ServingCertificate, "the kubelet has no certificate to serve with, so that kubectl logs, exec and port-forward fail: see whether its request is approved, and why not (kubectl get csr)")
	return &f
}
