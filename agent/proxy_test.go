package agent

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAKubeProxyIsAskedForTheRulesOfItsOwnMode(t *testing.T) {
	var r proxyRun
	proxy := func(state v1alpha1.ComponentState, started int64) []v1alpha1.ComponentStatus {
		return []v1alpha1.ComponentStatus{{Name: v1alpha1.ComponentKubeProxy, State: state, StartedAt: metav1.NewTime(time.Unix(started, 0))}}
	}
	for _, c := range []struct {
		reason     string
		mode       v1alpha1.ProxyMode
		components []v1alpha1.ComponentStatus
		want       bool
	}{
		{"there is none yet", v1alpha1.ProxyModeNFTables, nil, false},
		{"it does not answer yet", v1alpha1.ProxyModeNFTables, proxy(v1alpha1.ComponentStarting, 1), false},
		{"it does", v1alpha1.ProxyModeNFTables, proxy(v1alpha1.ComponentRunning, 1), true},
		{"it is the one of the mode before", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentRunning, 1), false},
		{"its successor starts", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentStarting, 2), false},
		{"and answers", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentRunning, 2), true},
		{"a restart in the same mode is nothing new", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentRunning, 3), true},
	} {
		if got := r.settled(c.mode, c.components); got != c.want {
			t.Errorf("%s: got %t", c.reason, got)
		}
	}
}
