package agent

import (
	"fmt"
	"time"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// renewalFailed takes down why the agent's certificate was not renewed.
func (a *Agent) renewalFailed(err error) {
	a.mu.Lock()
	a.renewal = err
	a.mu.Unlock()
	wake(a.dirty)
}

// certificateOverdue is the finding of an agent's certificate that ends before long, nil while it is renewed in time. It
// is no condition's failure yet: the node works, and a machine that counts as unhealthy is in the way of others.
func (a *Agent) certificateOverdue(now time.Time) *v1alpha1.Finding {
	id, err := identity.Load(a.identityPaths(), a.bootstrap.NodeName, now)
	if err != nil || !id.Overdue(now) {
		return nil // an agent whose certificate has ended has nobody to tell
	}
	message := fmt.Sprintf("the agent's certificate ends %s and was not renewed: the agent, and kube-proxy with it, is shut out then; see whether its request is approved (kubectl get csr)",
		id.NotAfter.UTC().Format(time.RFC3339))
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.renewal != nil {
		message += ": " + a.renewal.Error()
	}
	f := finding.Warning(finding.AgentCertificate, "%s", message)
	return &f
}
