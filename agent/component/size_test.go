package component

import (
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestANodeOffersNoMorePodsThanItHasAddressesFor(t *testing.T) {
	const routes, external = fleetv1.NetworkModeRoutes, fleetv1.NetworkModeExternal
	for _, c := range []struct {
		reason string
		asked  *int32
		mode   fleetv1.NetworkMode
		ranges []string
		want   int32
		says   string
	}{
		{"nobody asked for anything", nil, routes, []string{"10.244.3.0/24"}, 110, ""},
		{"the default is what the range has room for", nil, routes, []string{"10.244.3.0/26"}, 61, ""},
		{"there is room for what is asked", ptr.To[int32](253), routes, []string{"10.244.3.0/24"}, 253, ""},
		{"one more has no address", ptr.To[int32](254), routes, []string{"10.244.3.0/24"}, 253, "maxPods is 254, and the Node's pod range 10.244.3.0/24 has addresses for 253 pods only"},
		{"nor has any of many more", ptr.To[int32](400), "", []string{"10.244.3.0/24"}, 253, "maxPods is 400, and the Node's pod range 10.244.3.0/24 has addresses for 253 pods only"},
		{"a larger range has room", ptr.To[int32](400), routes, []string{"10.244.2.0/23"}, 400, ""},
		{"a pod needs an address of each family", ptr.To[int32](400), routes, []string{"fd00:1::/64", "10.244.3.0/24"}, 253, "range 10.244.3.0/24 "},
		{"a range of IPv6 has room for any number", ptr.To[int32](4096), routes, []string{"fd00:1::/64"}, 4096, ""},
		{"what is no range counts for nothing", ptr.To[int32](400), routes, []string{"?"}, 400, ""},
		{"before the Node has a range nobody knows", ptr.To[int32](400), routes, nil, 400, ""},
		{"another network has addresses of its own", ptr.To[int32](400), external, []string{"10.244.3.0/24"}, 400, ""},
	} {
		t.Run(c.reason, func(t *testing.T) {
			cfg := localMachine()
			cfg.Spec.Kubelet.MaxPods, cfg.Spec.Network.Mode, cfg.PodCIDRs = c.asked, c.mode, c.ranges
			plan, err := Build(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.maxPods(); got != c.want {
				t.Errorf("%d pods, want %d", got, c.want)
			}
			says := ""
			for _, f := range plan.Findings {
				says += string(f.Severity) + " " + f.Name + ": " + f.Message
			}
			if (says == "") != (c.says == "") || !strings.Contains(says, c.says) || says != "" && !strings.HasPrefix(says, "Warning MaxPods: ") {
				t.Errorf("found %q, want %q", says, c.says)
			}
		})
	}
}
