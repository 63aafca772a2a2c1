package nodepool

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAKubeletIsOfAVersionThatTheAPIServerSupports(t *testing.T) {
	for _, c := range []struct{ kubelet, server, reason, says string }{
		{"v1.37.2", "v1.37.0", "", ""},
		{"v1.37.0", "v1.37.9-gke.1", "", ""},
		{"v1.38.0-alpha.1", "v1.37.2", v1alpha1.ReasonVersionTooNew, "to v1.37 or older"},
		{"v2.0.0", "v1.37.2", v1alpha1.ReasonVersionTooNew, "to v1.37 or older"},
		{"v1.34.0", "v1.37.2", "", ""},
		{"v1.33.9", "v1.37.0", v1alpha1.ReasonVersionTooOld, "to v1.34 or newer"},
		{"v1.37.2", "v2.1.0", v1alpha1.ReasonVersionTooOld, "to v2.0 or newer"},
	} {
		reason, message := skew(version.MustParseGeneric(c.kubelet), version.MustParseGeneric(c.server))
		if reason != c.reason || !strings.Contains(message, c.says) {
			t.Errorf("a kubelet of %s and an API server of %s: got %q, %q, want %q and %q", c.kubelet, c.server, reason, message, c.reason, c.says)
		}
	}
}
