package agent

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// sightings are what is told once and shown until it is told otherwise.
type sightings struct {
	mu         sync.Mutex
	renewal    error           // why the agent's certificate was not renewed the last time it failed
	node       health.Presence // whether there is a Node of this machine's name
	heartbeat  time.Time       // when the kubelet last said that the Node is Ready
	server     *silentServer   // why the agent does not speak to the API server that it is to
	unbalanced error           // why there is no balancer although there are several API servers
}

// do reads or changes them.
func (s *sightings) do(what func(*sightings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(s)
}

// observe collects what the status is made from.
func (a *Agent) observe(probed []metav1.Condition, now time.Time) status.Observed {
	o := status.Observed{
		Now: now, AgentVersion: a.opts.Version, Agent: a.updater.Status(), Repair: a.repair.Answer(), Probed: probed, Steps: a.timeline.List(),
		Components:  append(a.supervise.Status(), a.network.Status()),
		Obstacle:    a.installer.Obstacle(),
		Findings:    slices.Concat(a.observed().Findings(), a.network.Findings(), a.proxy.Findings(), a.drift.Findings(), a.serverFindings(), a.updater.Findings()),
		Certificate: a.certificate(now), Certificates: a.certificates(), Serving: a.kubeletServes(),
	}
	running := a.installer.Running()
	o.Progress, o.Phase = a.installer.Progress()
	o.Generation, o.Revision, o.Proxy = a.installer.Wanted().ObservedGeneration, running.Spec.Revision, running.Spec.Proxy.Mode
	o.ClusterHash = running.Spec.Cluster.Hash()
	return o
}

// certificate is the agent's own, nil when it has none that is good.
func (a *Agent) certificate(now time.Time) *status.Certificate {
	id, err := identity.Load(a.identityPaths(), a.bootstrap.NodeName, now)
	if err != nil {
		return nil
	}
	c := &status.Certificate{NotAfter: id.NotAfter, Overdue: id.Overdue(now)}
	a.seen.do(func(s *sightings) { c.Failure = s.renewal })
	return c
}

// certificates are all that the node has, whether they are good or not.
func (a *Agent) certificates() []v1alpha1.CertificateStatus {
	var all []v1alpha1.CertificateStatus
	for _, c := range []struct{ name, path string }{
		{v1alpha1.CertificateAgent, a.identityPaths().Pair()},
		{v1alpha1.CertificateKubeletClient, filepath.Join(a.paths.KubeletCertDir(), "kubelet-client-current.pem")},
		{v1alpha1.CertificateKubeletServing, filepath.Join(a.paths.KubeletCertDir(), "kubelet-server-current.pem")},
	} {
		if certificate, err := health.ReadCertificate(c.path); err == nil {
			all = append(all, v1alpha1.CertificateStatus{Name: c.name, NotAfter: metav1.NewTime(certificate.NotAfter.UTC())})
		}
	}
	return all
}

// kubeletServes says whether the kubelet has a certificate to serve with.
func (a *Agent) kubeletServes() bool {
	_, err := os.Stat(filepath.Join(a.paths.KubeletCertDir(), "kubelet-server-current.pem"))
	return err == nil
}

// registration is what is known of the kubelet's registering its Node.
func (a *Agent) registration(now time.Time) health.Registration {
	r := health.Registration{
		Name: a.bootstrap.NodeName, KubeletStarted: status.KubeletStarted(a.supervise.Status()), AgentStarted: a.started, Now: now,
		KubeletSaid: func(text string) string { return a.supervise.LastLine(v1alpha1.ComponentKubelet, text) },
		LogFile:     filepath.Join(a.paths.LogDir, v1alpha1.ComponentKubelet+".log"),
	}
	a.seen.do(func(s *sightings) { r.Node = s.node })
	return r
}

// setNode takes down whether there is a Node of this machine's name.
func (a *Agent) setNode(is health.Presence) { a.seen.do(func(s *sightings) { s.node = is }) }

// nodeReady takes down when the kubelet last said that the Node is Ready.
func (a *Agent) nodeReady(heartbeat time.Time) {
	a.seen.do(func(s *sightings) { s.heartbeat = heartbeat })
	wake(a.dirty)
}

// renewalFailed takes down why the agent's certificate was not renewed.
func (a *Agent) renewalFailed(err error) {
	a.seen.do(func(s *sightings) { s.renewal = err })
	wake(a.dirty)
}

// noteSteps reads the steps of joining off the components.
func (a *Agent) noteSteps(probed []metav1.Condition) {
	var heartbeat time.Time
	a.seen.do(func(s *sightings) { heartbeat = s.heartbeat })
	for _, step := range status.Passed(a.supervise.Status(), probed, heartbeat) {
		a.timeline.Done(step)
	}
}
