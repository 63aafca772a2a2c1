package nodepool

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// oldestKubelet is how many minor versions a kubelet, and kube-proxy with it, may be older than the API server.
// See https://kubernetes.io/releases/version-skew-policy/#kubelet.
const oldestKubelet = 3

// skew says why an API server does not support kubelets of a version: a reason of the pool's conditions and a sentence. Empty: it
// does. Minor versions count, and patches do not; no major version is known to support another.
func skew(kubelet, server *version.Version) (reason, message string) {
	newest := fmt.Sprintf("v%d.%d", server.Major(), server.Minor())
	oldest := fmt.Sprintf("v%d.%d", server.Major(), server.Minor()-min(server.Minor(), oldestKubelet))
	switch {
	case kubelet.Major() > server.Major(), kubelet.Major() == server.Major() && kubelet.Minor() > server.Minor():
		return v1alpha1.ReasonVersionTooNew, fmt.Sprintf("Kubernetes v%s is newer than the API server, which is v%s, and no kubelet may be: "+
			"upgrade the control plane first, or set spec.template.spec.version to %s or older", kubelet, server, newest)
	case kubelet.Major() < server.Major(), kubelet.Minor()+oldestKubelet < server.Minor():
		return v1alpha1.ReasonVersionTooOld, fmt.Sprintf("Kubernetes v%s is more than %d minor versions older than the API server, which is v%s, and no kubelet may be: "+
			"set spec.template.spec.version to %s or newer", kubelet, oldestKubelet, server, oldest)
	}
	return "", ""
}
