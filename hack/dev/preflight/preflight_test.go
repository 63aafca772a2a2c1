package preflight_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/hack/dev/preflight"
)

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		reason string
		host   preflight.Host
		want   []string
	}{
		"a fit host": {
			reason: "A default route is wider than our ranges, and a listener elsewhere is none of our business.",
			host: preflight.Host{
				Root:      true,
				Links:     []string{"lo", "eth0"},
				Listeners: map[int]string{22: "sshd (process 1)"},
				Networks:  map[netip.Prefix]string{netip.MustParsePrefix("10.0.0.0/8"): "a route through eth0"},
			},
		},
		"not root": {
			reason: "Without root nothing else can be found out, so nothing else is said.",
			host:   preflight.Host{Listeners: map[int]string{6443: "x"}},
			want:   []string{"This needs root, to make namespaces, links and cgroups: run it as root (sudo make …)."},
		},
		"an earlier run": {
			reason: "What it left explains every port and link in use; only the way out is worth saying.",
			host:   preflight.Host{Root: true, EarlierRun: true, Listeners: map[int]string{6443: "x"}},
			want:   []string{"An earlier run was left half-way (.drover/world.json): run `make down`, then try again."},
		},
		"a world of another checkout": {
			reason: "That one explains the bridge and the ports, and only there it can be removed in an orderly way.",
			host:   preflight.Host{Root: true, EarlierRun: true, OtherWorld: "/src/drover", Links: []string{"drover0"}},
			want:   []string{"The demo of /src/drover is on this host: run `make down` there, then try again."},
		},
		"a world whose folder is gone": {
			reason: "There is nowhere else to remove it.",
			host:   preflight.Host{Root: true, OtherWorld: "/tmp/x", OtherLost: true, Links: []string{"drover0"}},
			want:   []string{"A demo that was started in /tmp/x is still on this host, though its record is gone from there: run `make down` here, then try again."},
		},
		"a kernel feature": {
			reason: "The kernel's own answer and a remedy are in the sentence.",
			host:   preflight.Host{Root: true, Features: map[string]string{"nftables": "operation not supported"}},
			want:   []string{"The kernel has no working nftables (operation not supported): load the module with `modprobe nf_tables`, or use a kernel that has it."},
		},
		"a port": {
			reason: "The sentence names who has it.",
			host:   preflight.Host{Root: true, Listeners: map[int]string{6443: "k3s (process 12)"}},
			want:   []string{"TCP port 6443, for kube-apiserver, is in use by k3s (process 12): stop that first."},
		},
		"a bridge": {
			reason: "Whose it is cannot be told, but it may explain the ports.",
			host:   preflight.Host{Root: true, Links: []string{"drover0"}, Listeners: map[int]string{6443: "kube-apiserver (process 3)"}},
			want:   []string{"A link drover0 exists that no demo made as far as is recorded: `ip link delete drover0` if nothing needs it, then try again."},
		},
		"an address range": {
			reason: "An address of the host inside a range of ours would be cut off.",
			host:   preflight.Host{Root: true, Networks: map[netip.Prefix]string{netip.MustParsePrefix("10.88.0.7/32"): "an address of eth1"}},
			want:   []string{"The address range 10.88.0.0/24, which the nodes are to use, clashes with 10.88.0.7/32 of an address of eth1: take that away, or run this on another host."},
		},
		"not built": {
			reason: "A missing binary is better known now than after etcd is up.",
			host:   preflight.Host{Root: true, MissingFiles: []string{".drover/bin/etcd"}},
			want:   []string{".drover/bin/etcd is not built: run `make build`."},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, preflight.Check(tc.host)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
