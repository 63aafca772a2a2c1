package agent

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// observe collects what the status is made from.
func (a *Agent) observe(probed []metav1.Condition, now time.Time) status.Observed {
	o := status.Observed{
		Now: now, AgentVersion: a.opts.Version, Probed: probed, Steps: a.timeline.List(),
		Components:  append(a.supervise.Status(), a.network.Status()),
		Findings:    a.network.Findings(),
		Certificate: a.certificate(now), Serving: a.kubeletServes(),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o.Generation, o.Revision, o.Proxy = a.current.ObservedGeneration, a.current.Spec.Revision, a.current.Spec.Proxy.Mode
	o.Obstacle, o.Findings = a.hindrance, slices.Concat(a.findings, o.Findings)
	return o
}

// certificate is the agent's own, nil when it has none that is good.
func (a *Agent) certificate(now time.Time) *status.Certificate {
	id, err := identity.Load(a.identityPaths(), a.bootstrap.NodeName, now)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return &status.Certificate{NotAfter: id.NotAfter, Overdue: id.Overdue(now), Failure: a.renewal}
}

// kubeletServes says whether the kubelet has a certificate to serve with.
func (a *Agent) kubeletServes() bool {
	_, err := os.Stat(filepath.Join(a.paths.KubeletCertDir(), "kubelet-server-current.pem"))
	return err == nil
}

// registration is what is known of the kubelet's registering its Node.
func (a *Agent) registration(now time.Time) health.Registration {
	a.mu.Lock()
	node := a.node
	a.mu.Unlock()
	return health.Registration{
		Name: a.bootstrap.NodeName, Node: node, KubeletStarted: status.KubeletStarted(a.supervise.Status()), AgentStarted: a.started, Now: now,
		KubeletSaid: func(text string) string { return a.supervise.LastLine(v1alpha1.ComponentKubelet, text) },
		LogFile:     filepath.Join(a.paths.LogDir, v1alpha1.ComponentKubelet+".log"),
	}
}

// setNode takes down whether there is a Node of this machine's name.
func (a *Agent) setNode(is health.Presence) {
	a.mu.Lock()
	a.node = is
	a.mu.Unlock()
}

// nodeReady takes down when the kubelet last said that the Node is Ready.
func (a *Agent) nodeReady(heartbeat time.Time) {
	a.mu.Lock()
	a.heartbeat = heartbeat
	a.mu.Unlock()
	wake(a.dirty)
}

// renewalFailed takes down why the agent's certificate was not renewed.
func (a *Agent) renewalFailed(err error) {
	a.mu.Lock()
	a.renewal = err
	a.mu.Unlock()
	wake(a.dirty)
}
