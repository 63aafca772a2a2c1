package status

import (
	"time"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// servingPatience is how long after its start a kubelet may be without a certificate to serve with.
const servingPatience = 2 * time.Minute

// servingCertificate is the finding of a kubelet that has run for a while without a certificate to serve with. The node
// works, but for logs and exec.
func servingCertificate(o *Observed) *v1alpha1.Finding {
	started := KubeletStarted(o.Components)
	if o.Serving || started.IsZero() || o.Now.Sub(started) < servingPatience {
		return nil
	}
	f := finding.Warning(finding.ServingCertificate, "the kubelet has no certificate to serve with, so that kubectl logs, exec and port-forward fail: see whether its request is approved, and why not (kubectl get csr)")
	return &f
}

// remarkOf is what is said beside the sum of the conditions: that the agent is not the one that is asked for.
func remarkOf(found []v1alpha1.Finding) string {
	for _, f := range found {
		if f.Name == finding.AgentUpdate {
			return f.Message
		}
	}
	return ""
}

// join puts two remarks together.
func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// agentCertificate is the finding of an agent's certificate that ends before long, nil while it is renewed in time. It is no
// condition's failure yet: the node works, and a machine that counts as unhealthy is in the way of others. An agent whose
// certificate has ended has nobody to tell.
func agentCertificate(o *Observed) *v1alpha1.Finding {
	if o.Certificate == nil || !o.Certificate.Overdue {
		return nil
	}
	why := ""
	if o.Certificate.Failure != nil {
		why = ": " + o.Certificate.Failure.Error()
	}
	f := finding.Warning(finding.AgentCertificate, "the agent's certificate ends %s and was not renewed: the agent, and kube-proxy with it, is shut out then; see whether its request is approved (kubectl get csr)%s",
		o.Certificate.NotAfter.UTC().Format(time.RFC3339), why)
	return &f
}
