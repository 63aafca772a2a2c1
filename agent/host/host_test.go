package host

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// machine makes a fixture tree and a System over it.
func machine(t *testing.T, files map[string]string) *System {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &System{
		Root:       root,
		Hostname:   func() (string, error) { return "node-1", nil },
		LookupHost: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") },
		RouteTo: func(netip.Addr) (Route, error) {
			return Route{Source: netip.MustParseAddr("10.88.0.10"), Link: "eth0", MTU: 1500}, nil
		},
		Addresses: func() ([]Route, error) {
			return []Route{
				{Source: netip.MustParseAddr("127.0.0.1"), Link: "lo", MTU: 65536},
				{Source: netip.MustParseAddr("10.88.0.10"), Link: "eth0", MTU: 1500},
				{Source: netip.MustParseAddr("192.0.2.7"), Link: "eth1", MTU: 9000},
				{Source: netip.MustParseAddr("2001:db8::7"), Link: "eth1", MTU: 9000},
			}, nil
		},
		DiskBytes: func(string) (int64, int64, error) { return 40 << 30, 20 << 30, nil },
		NFTables:  func() error { return nil },
	}
}

func with(base map[string]string, more map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{base, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

var common = map[string]string{
	"proc/meminfo":                                "MemTotal:       8000000 kB\nMemFree: 1 kB\n",
	"proc/cpuinfo":                                "processor\t: 0\nprocessor\t: 1\nprocessor\t: 2\nprocessor\t: 3\n",
	"proc/self/status":                            "CapEff:\t000001ffffffffff\n",
	"proc/filesystems":                            "nodev\tproc\nnodev\toverlay\n\text4\n",
	"proc/swaps":                                  "Filename\t\tType\tSize\n",
	"proc/sys/kernel/osrelease":                   "6.1.0-18-amd64\n",
	"proc/sys/fs/inotify/max_user_instances":      "8192\n",
	"proc/sys/net/ipv4/ip_forward":                "0\n",
	"proc/sys/net/netfilter/nf_conntrack_max":     "65536\n",
	"proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
}

func v1(machineRoot string) map[string]string {
	files := map[string]string{"proc/self/cgroup": "", "proc/self/mountinfo": ""}
	for _, c := range []string{"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids", "systemd"} {
		files["sys/fs/cgroup/"+c+"/tasks"] = ""
		name := c
		if c == "systemd" {
			name = "name=systemd"
		}
		files["proc/self/cgroup"] += "3:" + name + ":" + machineRoot + "\n"
		files["proc/self/mountinfo"] += "32 31 0:29 / /sys/fs/cgroup/" + c + " rw - cgroup none rw," + c + "\n"
	}
	return files
}

func TestFacts(t *testing.T) {
	v2 := map[string]string{
		"proc/self/cgroup":                                "0::/system.slice/drover-agent.service\n",
		"sys/fs/cgroup/cgroup.controllers":                "cpuset cpu io memory pids\n",
		"run/systemd/system/keep":                         "",
		"sys/fs/cgroup/drover/m1/memory.max":              "1073741824\n",
		"sys/fs/cgroup/drover/m1/cpu.max":                 "150000 100000\n",
		"sys/fs/cgroup/drover/m1/system/cgroup.procs":     "",
		"sys/fs/cgroup/system.slice/drover-agent.service": "",
	}
	delete(v2, "sys/fs/cgroup/system.slice/drover-agent.service")
	for name, c := range map[string]struct {
		reason string
		files  map[string]string
		check  func(Facts) any
		want   any
	}{
		"v2 with systemd": {
			reason: "a machine of its own that systemd runs uses the systemd driver",
			files:  with(common, v2),
			check: func(f Facts) any {
				return []any{f.CgroupVersion, f.CgroupDriver, f.CgroupRoot, f.SharesHost, f.HasSystemd}
			},
			want: []any{2, "systemd", "/", false, true},
		},
		"v2 installed": {
			reason: "the components are accounted for apart from the agent where there is a unit for them",
			files:  with(with(common, v2), map[string]string{"proc/self/cgroup": "0::/drover.slice/drover-agent.service\n"}),
			check:  func(f Facts) any { return f.ComponentCgroup },
			want:   "/drover.slice/drover-node.service",
		},
		"v2 by hand": {
			reason: "and stay in the agent's where there is none",
			files:  with(common, v2),
			check:  func(f Facts) any { return f.ComponentCgroup },
			want:   "",
		},
		"v2 shared host": {
			reason: "an agent in a machine's own cgroup puts pods beside itself, with cgroupfs, within the machine's limits",
			files:  with(with(common, v2), map[string]string{"proc/self/cgroup": "0::/drover/m1/system\n"}),
			check: func(f Facts) any {
				return []any{f.CgroupDriver, f.CgroupRoot, f.SharesHost, f.MemoryBytes, f.HostMemoryBytes, f.CPUs, f.HostCPUs}
			},
			want: []any{"cgroupfs", "/drover/m1", true, int64(1 << 30), int64(8000000 << 10), 2, 4},
		},
		"v2 local machine": {
			reason: "a local machine has a cgroup namespace: its own cgroup is the root, and its host is shared all the same",
			files: with(with(common, v2), map[string]string{
				"proc/self/cgroup": "0::/system\n", "sys/fs/cgroup/memory.max": "2147483648\n", "sys/fs/cgroup/cpu.max": "150000 100000\n",
			}),
			check: func(f Facts) any { return []any{f.CgroupDriver, f.CgroupRoot, f.SharesHost, f.MemoryBytes, f.CPUs} },
			want:  []any{"cgroupfs", "/", true, int64(2 << 30), 2},
		},
		"v1 shared host": {
			reason: "the same on cgroup v1, where no limit is a huge number",
			files: with(with(common, v1("/drover/m1/system")), map[string]string{
				"sys/fs/cgroup/memory/drover/m1/memory.limit_in_bytes": "9223372036854771712\n",
				"sys/fs/cgroup/cpu/drover/m1/system/cpu.cfs_quota_us":  "-1\n",
				"sys/fs/cgroup/cpu/drover/m1/system/cpu.cfs_period_us": "100000\n",
			}),
			check: func(f Facts) any { return []any{f.CgroupVersion, f.CgroupRoot, f.MemoryBytes, f.CPUs} },
			want:  []any{1, "/drover/m1", int64(8000000 << 10), 4},
		},
		"v1 shared host with limits": {
			reason: "on cgroup v1 the quota is beside the pods, who may each have a larger one",
			files: with(with(common, v1("/drover/m1/system")), map[string]string{
				"sys/fs/cgroup/cpu/drover/m1/cpu.cfs_quota_us":         "-1\n",
				"sys/fs/cgroup/cpu/drover/m1/cpu.cfs_period_us":        "100000\n",
				"sys/fs/cgroup/cpu/drover/m1/system/cpu.cfs_quota_us":  "200000\n",
				"sys/fs/cgroup/cpu/drover/m1/system/cpu.cfs_period_us": "100000\n",
			}),
			check: func(f Facts) any { return []any{f.CPUs, f.HostCPUs} },
			want:  []any{2, 4},
		},
		"no CAP_SYS_RESOURCE": {
			reason: "bit 24 of the effective capabilities decides",
			files:  with(with(common, v1("/")), map[string]string{"proc/self/status": "CapEff:\t000001fffeffffff\n"}),
			check:  func(f Facts) any { return f.CanRaiseOOMScore },
			want:   false,
		},
		"swap": {
			reason: "a line after the heading is a swap device",
			files:  with(with(common, v1("/")), map[string]string{"proc/swaps": "Filename Type\n/dev/sda2 partition\n"}),
			check:  func(f Facts) any { return f.Swap },
			want:   true,
		},
		"no conntrack": {
			reason: "without the file nobody knows whether it can be written",
			files:  without(with(common, v1("/")), "proc/sys/net/netfilter/nf_conntrack_max"),
			check:  func(f Facts) any { return f.ConntrackWritable },
			want:   (*bool)(nil),
		},
		"conntrack of one's own": {
			reason: "the file can be written",
			files:  with(common, v1("/")),
			check:  func(f Facts) any { return f.ConntrackWritable },
			want:   ptr.To(true),
		},
		"conntrack of the host": {
			reason: "the limit is the host's, loaded or not, so that kube-proxy's configuration stays what it is",
			files:  without(with(common, v1("/drover/m1/system")), "proc/sys/net/netfilter/nf_conntrack_max"),
			check:  func(f Facts) any { return f.ConntrackWritable },
			want:   ptr.To(false),
		},
		"address": {
			reason: "the node's address is the source of packets to the API server",
			files:  with(common, v1("/")),
			check:  func(f Facts) any { return []any{f.NodeIP.String(), f.Interface, f.MTU} },
			want:   []any{"10.88.0.10", "eth0", 1500},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := machine(t, c.files).Gather(t.Context(), GatherOptions{Server: "https://10.88.0.1:6443", StateDir: "/var/lib/drover"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, c.check(f)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestGatherWritesNothing(t *testing.T) {
	const limit = "proc/sys/net/netfilter/nf_conntrack_max"
	s := machine(t, with(common, v1("/")))
	if _, err := s.Gather(t.Context(), GatherOptions{Server: "https://10.88.0.1:6443", StateDir: "/var/lib/drover"}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(s.Root, limit)); err != nil || string(got) != common[limit] {
		t.Errorf("%s holds %q (%v), want %q as before", limit, got, err, common[limit])
	}
}

func without(files map[string]string, name string) map[string]string {
	out := with(files, nil)
	delete(out, name)
	return out
}

func TestGatherFailsWithASentence(t *testing.T) {
	for name, c := range map[string]struct {
		opts  GatherOptions
		files map[string]string
		want  string
	}{
		"no cgroups":   {GatherOptions{Server: "https://10.0.0.1"}, common, "mount cgroup2"},
		"unknown name": {GatherOptions{Server: "https://api.example:6443"}, with(common, v1("/")), "check the machine's resolver"},
		"no URL":       {GatherOptions{Server: "10.0.0.1"}, with(common, v1("/")), "is no URL"},
	} {
		_, err := machine(t, c.files).Gather(t.Context(), c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something with %q", name, err, c.want)
		}
	}
}

func TestAnAddressOfOnesChoiceWins(t *testing.T) {
	for _, c := range []struct {
		reason string
		opts   GatherOptions
		want   string
	}{
		{"an address", GatherOptions{NodeIP: netip.MustParseAddr("192.0.2.7")}, "192.0.2.7"},
		{"a range", GatherOptions{NodeCIDRs: prefixes("192.0.2.0/24")}, "192.0.2.7"},
		{"the first range that one is in", GatherOptions{NodeCIDRs: prefixes("203.0.113.0/24", "2001:db8::/32", "192.0.2.0/24")}, "2001:db8::7"},
		{"an address before a range", GatherOptions{NodeIP: netip.MustParseAddr("192.0.2.7"), NodeCIDRs: prefixes("10.88.0.0/24")}, "192.0.2.7"},
	} {
		f, err := machine(t, with(common, v1("/"))).Gather(t.Context(), c.opts)
		if err != nil || f.NodeIP.String() != c.want || f.Interface != "eth1" || f.MTU != 9000 {
			t.Errorf("%s: got %s on %s, %v; want %s", c.reason, f.NodeIP, f.Interface, err, c.want)
		}
	}
	for _, opts := range []GatherOptions{{NodeIP: netip.MustParseAddr("192.0.2.8")}, {NodeCIDRs: prefixes("203.0.113.0/24")}} {
		if _, err := machine(t, with(common, v1("/"))).Gather(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "choose another range") {
			t.Errorf("got %v for %+v, want what to do", err, opts)
		}
	}
}

func prefixes(texts ...string) (result []netip.Prefix) {
	for _, text := range texts {
		result = append(result, netip.MustParsePrefix(text))
	}
	return result
}

// good are the facts of a machine with nothing to complain about.
func good() Facts {
	return Facts{
		Hostname: "node-1", KernelRelease: "6.1.0-18-amd64", CgroupVersion: 2, Controllers: []string{"cpu", "cpuset", "memory", "pids"},
		CanRaiseOOMScore: true, ConntrackWritable: ptr.To(true), MemoryBytes: 4 << 30, InotifyInstances: 8192, Overlayfs: true,
		BridgeNetfilter: true, StateDiskFreeBytes: 50 << 30,
	}
}

func TestPreflight(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		facts  func(*Facts)
		spec   func(*v1alpha1.NodeAgentSpec)
		want   []string
	}{
		"fine":         {reason: "a good machine has no findings"},
		"cgroup v1":    {reason: "v1 works", facts: func(f *Facts) { f.CgroupVersion, f.Controllers = 1, neededControllers(1) }, want: []string{"Info CgroupV1"}},
		"controller":   {reason: "no memory limits, no node", facts: func(f *Facts) { f.Controllers = []string{"cpu", "cpuset", "pids"} }, want: []string{"Error CgroupControllerMissing"}},
		"old kernel":   {reason: "5.9 lacks what we need", facts: func(f *Facts) { f.KernelRelease = "5.9.16-default" }, want: []string{"Error KernelTooOld"}},
		"for nftables": {reason: "kube-proxy's nftables mode needs 5.13", facts: func(f *Facts) { f.KernelRelease = "5.10.0-28-amd64" }, want: []string{"Error KernelTooOld"}},
		"for iptables": {reason: "its iptables mode does not", facts: func(f *Facts) { f.KernelRelease = "5.10.0-28-amd64" }, spec: func(s *v1alpha1.NodeAgentSpec) { s.Proxy.Mode = v1alpha1.ProxyModeIPTables }},
		"odd kernel":   {reason: "a release that is no number is not held against it", facts: func(f *Facts) { f.KernelRelease = "custom" }},
		"no nftables":  {reason: "rules and masquerade need it", facts: func(f *Facts) { f.NFTables = "not supported" }, want: []string{"Error NFTables"}},
		"no nftables needed": {reason: "with a CNI of one's own and iptables nobody needs it", facts: func(f *Facts) { f.NFTables = "not supported" },
			spec: func(s *v1alpha1.NodeAgentSpec) {
				s.Proxy.Mode, s.Network.Mode = v1alpha1.ProxyModeIPTables, v1alpha1.NetworkModeExternal
			}},
		"several": {reason: "the worst comes first", facts: func(f *Facts) {
			f.Hostname, f.InotifyInstances, f.Overlayfs, f.CanRaiseOOMScore = "other", 128, false, false
		}, want: []string{"Error Overlayfs", "Warning InotifyInstances", "Info HostnameMismatch", "Info NoOOMScoreAdjust"}},
		"swap":                 {reason: "swap is fine by default", facts: func(f *Facts) { f.Swap = true }, want: []string{"Info Swap"}},
		"swap forbidden":       {reason: "the kubelet would refuse to start", facts: func(f *Facts) { f.Swap = true }, spec: func(s *v1alpha1.NodeAgentSpec) { s.Kubelet.FailSwapOn = ptr.To(true) }, want: []string{"Error Swap"}},
		"noexec":               {reason: "nothing runs from there", facts: func(f *Facts) { f.StateMount = mountNoExec }, want: []string{"Error StateMount"}},
		"SELinux":              {reason: "there is no policy of ours", facts: func(f *Facts) { f.SELinux = "Enforcing" }, want: []string{"Error SELinux"}},
		"firewall":             {reason: "no packet gets through", facts: func(f *Facts) { f.ForwardDrops = []ForwardDrop{{"chain f", true}} }, want: []string{"Error Firewall"}},
		"firewall, unread":     {reason: "nobody knows whether they get through", facts: func(f *Facts) { f.UnreadFirewall = "chain f: busy" }, want: []string{"Warning Firewall"}},
		"no nftables at all":   {reason: "one cause is told once", facts: func(f *Facts) { f.UnreadFirewall, f.NFTables = "none", "none" }, want: []string{"Error NFTables"}},
		"firewall, perhaps":    {reason: "a rule may let them", facts: func(f *Facts) { f.ForwardDrops = []ForwardDrop{{"chain f", false}} }, want: []string{"Warning Firewall"}},
		"small disk":           {reason: "a bundle needs room", facts: func(f *Facts) { f.StateDiskFreeBytes = 100 << 20 }, want: []string{"Error DiskSpace"}},
		"little disk":          {reason: "images need room", facts: func(f *Facts) { f.StateDiskFreeBytes = 2 << 30 }, want: []string{"Warning DiskSpace"}},
		"no conntrack":         {reason: "kube-proxy adapts", facts: func(f *Facts) { f.ConntrackWritable = ptr.To(false) }, want: []string{"Info ConntrackReadOnly"}},
		"conntrack not loaded": {reason: "nobody knows yet", facts: func(f *Facts) { f.ConntrackWritable = nil }},
		"no br_netfilter":      {reason: "Services on the same node break", facts: func(f *Facts) { f.BridgeNetfilter = false }, want: []string{"Warning BridgeNetfilter"}},
		"little memory":        {reason: "the components alone take that much", facts: func(f *Facts) { f.MemoryBytes = 256 << 20 }, want: []string{"Error Memory"}},
		"tool":                 {reason: "kube-proxy runs nft", facts: func(f *Facts) { f.MissingTools = []string{"nft", "iptables"} }, want: []string{"Error ToolMissing"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, spec := good(), &v1alpha1.NodeAgentSpec{}
			spec.Proxy.Mode, spec.Network.Mode = v1alpha1.ProxyModeNFTables, v1alpha1.NetworkModeRoutes
			if c.facts != nil {
				c.facts(&f)
			}
			if c.spec != nil {
				c.spec(spec)
			}
			var got []string
			for _, found := range Preflight(f, "node-1", spec, time.Now()) {
				got = append(got, string(found.Severity)+" "+found.Name)
				if len(found.Message) < 20 || len(found.Message) > 1024 {
					t.Errorf("%s: %q is no sentence", found.Name, found.Message)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestTheAgentsCgroupAndCapabilitiesAreReadByWhoLooksBesideIt(t *testing.T) {
	files := with(v1("/user.slice"), map[string]string{
		"proc/42/cgroup":   v1("/drover/m1/system")["proc/self/cgroup"],
		"proc/self/status": "CapEff:\t0000000000000000\n", "proc/42/status": "CapEff:\t000001ffffffffff\n",
	})
	s := machine(t, files)
	s.Agent = 42
	facts, err := s.Gather(t.Context(), GatherOptions{Server: "https://10.88.0.1:6443"})
	if err != nil {
		t.Fatal(err)
	}
	if facts.CgroupRoot != "/drover/m1" || !facts.SharesHost || !facts.CanRaiseOOMScore {
		t.Errorf("the facts are those of another process: %+v", facts)
	}
}
