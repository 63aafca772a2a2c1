package status

import (
	"strings"
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Rules that nobody looks at are not said to be there.
func TestAConditionSaysOnlyWhatIsLookedAt(t *testing.T) {
	for policy, seen := range map[v1alpha1.DriftPolicy]bool{"": true, v1alpha1.DriftRepair: true, v1alpha1.DriftReport: true, v1alpha1.DriftIgnore: false} {
		spec := &v1alpha1.NodeAgentSpec{}
		spec.Drift.Rules = policy
		for _, p := range Probes(spec, Checks{}) {
			if p.Condition != v1alpha1.ProxyHealthyCondition && p.Condition != v1alpha1.NetworkHealthyCondition {
				continue
			}
			if got := !strings.Contains(p.Healthy, "rules are not looked at"); got != seen {
				t.Errorf("with the policy %q %s says %q", policy, p.Condition, p.Healthy)
			}
		}
	}
}
