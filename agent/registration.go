package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// registerPatience is how long after its start a kubelet may take to register its Node.
	registerPatience = 10 * time.Second
	// servingPatience is how long after its start a kubelet may be without a certificate to serve with.
	servingPatience = 2 * time.Minute
	// findingServingCertificate names the finding of a kubelet that got no certificate to serve with.
	findingServingCertificate = "ServingCertificate"
	// registerFailed is what the kubelet's log has in each line about a try that failed (pkg/kubelet/kubelet_node_status.go).
	registerFailed = "Unable to register node with API server"
)

// presence is whether something is there, which nobody knows at first.
type presence int

const (
	unknown presence = iota
	present
	absent
)

// setNode takes down whether there is a Node of this machine's name.
func (a *Agent) setNode(is presence) {
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

// nodeRegistered fails while the kubelet answers but has not registered its Node, with the kubelet's own words: it answers as
// if all were well, and its log is on the machine only. It fails as well when the Nodes cannot be listed, by which alone that
// would be noticed.
func (a *Agent) nodeRegistered(context.Context) error { return a.nodeMissing(time.Now()) }

func (a *Agent) nodeMissing(now time.Time) error {
	a.mu.Lock()
	node := a.node
	a.mu.Unlock()
	if node == present || now.Sub(a.kubeletStarted()) < registerPatience {
		return nil
	}
	if node == unknown {
		if now.Sub(a.timeline.start) < registerPatience {
			return nil
		}
		return &health.Failure{Reason: v1alpha1.ReasonStarting, Message: fmt.Sprintf(
			"the Nodes are not known yet, nor whether %s is one: the agent could not list them since it was started, and its log says why", a.bootstrap.NodeName)}
	}
	message := fmt.Sprintf("there is no Node %s: ", a.bootstrap.NodeName)
	if line := a.supervise.LastLine(v1alpha1.ComponentKubelet, registerFailed); line != "" {
		message += "the kubelet says: " + withoutHeader(line)
	} else {
		message += "the kubelet has not registered it, and does not say why in " + filepath.Join(a.paths.LogDir, v1alpha1.ComponentKubelet+".log")
	}
	return &health.Failure{Reason: v1alpha1.ReasonNodeNotRegistered, Message: message}
}

// withoutHeader takes off a log line what klog puts before its text, which differs each time.
func withoutHeader(line string) string {
	if _, text, found := strings.Cut(line, "] "); found {
		return text
	}
	return line
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
	return &v1alpha1.Finding{
		Name: findingServingCertificate, Severity: v1alpha1.FindingWarning,
		Message: "the kubelet has no certificate to serve with, so that kubectl logs, exec and port-forward fail: see whether its request is approved, and why not (kubectl get csr)",
	}
}
