package host

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/test/netspace"
)

func TestFirewallsThatDropPodsPackets(t *testing.T) {
	forward := func(rest string) string {
		return "table ip filter { chain FORWARD { type filter hook forward priority 0; " + rest + " } }"
	}
	want := func(certain bool) []ForwardDrop {
		return []ForwardDrop{{Chain: "chain FORWARD of table filter", Certain: certain}}
	}
	for name, c := range map[string]struct {
		reason, rules string
		want          []ForwardDrop
	}{
		"none":        {reason: "a stock machine has no rules"},
		"open":        {reason: "it accepts what nothing else is said of", rules: forward("policy accept;")},
		"closed":      {reason: "nothing gets through", rules: forward("policy drop;"), want: want(true)},
		"last rule":   {reason: "as firewalld and many a script do it", rules: forward("policy accept; ct state established,related accept; reject;"), want: want(true)},
		"Docker":      {reason: "its rules are about its own bridge", rules: forward(`policy drop; iifname "docker0" oifname != "docker0" accept; oifname "docker0" ct state established,related accept;`), want: want(true)},
		"for pods":    {reason: "somebody has thought of them", rules: forward(`policy drop; iifname "cni0" accept; oifname "cni0" accept;`)},
		"for a range": {reason: "it may be the pods'", rules: forward("policy drop; ip saddr 10.244.0.0/16 accept;"), want: want(false)},
		"some":        {reason: "what it drops is something else", rules: forward(`policy accept; iifname "eth1" drop;`)},
		"inet":        {reason: "any table counts", rules: "table inet fw { chain f { type filter hook forward priority 10; policy drop; } }", want: []ForwardDrop{{Chain: "chain f of table fw", Certain: true}}},
		"input":       {reason: "pods' packets are forwarded", rules: "table inet fw { chain i { type filter hook input priority 0; policy drop; } }"},
		"jump": {reason: "what is jumped to may accept them", rules: "table ip filter { chain mine { ip daddr 10.0.0.0/8 accept; } chain FORWARD { type filter hook forward priority 0; policy drop; jump mine; } }",
			want: want(false)},
		"ours": {reason: "kube-proxy's are for Services", rules: "table ip kube-proxy { chain filter-forward { type filter hook forward priority 0; policy drop; } }"},
	} {
		t.Run(name, func(t *testing.T) {
			netspace.Enter(t)
			if c.rules != "" {
				if out, err := exec.Command("nft", strings.ReplaceAll(c.rules, " }", "\n}\n")).CombinedOutput(); err != nil {
					t.Fatalf("nft: %v: %s", err, out)
				}
			}
			got, err := forwardDrops()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestFirewallsOfOldThatDropPodsPackets(t *testing.T) {
	for name, c := range map[string]struct {
		rules         string
		drop, certain bool
	}{
		"open":        {rules: "-P FORWARD ACCEPT\n"},
		"closed":      {rules: "-P FORWARD DROP\n", drop: true, certain: true},
		"last rule":   {rules: "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n", drop: true, certain: true},
		"Docker":      {rules: "-P FORWARD DROP\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n", drop: true, certain: true},
		"for pods":    {rules: "-P FORWARD DROP\n-A FORWARD -i cni0 -j ACCEPT\n"},
		"for a range": {rules: "-P FORWARD DROP\n-A FORWARD -s 10.244.0.0/16 -j ACCEPT\n", drop: true},
	} {
		got := judgeLegacy(c.rules)
		if (len(got) > 0) != c.drop || c.drop && got[0].Certain != c.certain {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestAChainThatCannotBeReadHidesNoOther(t *testing.T) {
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "fw"}
	drop := nftables.ChainPolicyDrop
	var chains []*nftables.Chain
	for _, name := range []string{"busy", "gone", "closed"} {
		chains = append(chains, &nftables.Chain{Table: table, Name: name, Hooknum: nftables.ChainHookForward, Policy: &drop})
	}
	got, err := dropsAmong(chains, func(_ *nftables.Table, c *nftables.Chain) ([]*nftables.Rule, error) {
		return nil, map[string]error{"busy": unix.EBUSY, "gone": unix.ENOENT}[c.Name]
	})
	if diff := cmp.Diff([]ForwardDrop{{Chain: "chain closed of table fw", Certain: true}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "chain busy of table fw") {
		t.Errorf("got %v, want the chain that is there and cannot be read", err)
	}
}

func TestRulesThatCannotBeReadAreTold(t *testing.T) {
	s := machine(t, with(with(common, v1("/")), map[string]string{"/proc/net/ip_tables_names": "filter\n", "/usr/local/sbin/iptables-legacy": "which the real machine has not"}))
	s.ForwardDrops = func() ([]ForwardDrop, error) { return []ForwardDrop{{"chain f", true}}, unix.EBUSY }
	f, err := s.Gather(t.Context(), GatherOptions{Server: "https://10.88.0.1:6443", StateDir: "/var/lib/drover"})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.ForwardDrops) != 1 || !strings.HasPrefix(f.UnreadFirewall, unix.EBUSY.Error()+"; chain FORWARD of iptables-legacy's table filter: ") {
		t.Errorf("got %v and %q, want what is known and both that is not", f.ForwardDrops, f.UnreadFirewall)
	}
}
