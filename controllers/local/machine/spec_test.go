package machine

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func v1Facts() Facts {
	return Facts{BootID: "host", CgroupVersion: 1, ResolvConf: "nameserver 192.0.2.1\n",
		CgroupLinks: map[string]string{"cpuacct": "cpu,cpuacct", "cpu": "cpu,cpuacct"},
		Hierarchies: []Hierarchy{
			{Mount: "/sys/fs/cgroup/cpu,cpuacct", Controllers: []string{"cpu", "cpuacct"}},
			{Mount: "/sys/fs/cgroup/cpuset", Controllers: []string{"cpuset"}},
			{Mount: "/sys/fs/cgroup/memory", Controllers: []string{"memory"}},
			{Mount: "/sys/fs/cgroup/systemd", Controllers: []string{"name=systemd"}},
			{Mount: "/sys/fs/cgroup/unified", Unified: true},
		}}
}

func v2Facts() Facts {
	return Facts{BootID: "host", CgroupVersion: 2, ResolvConf: "nameserver 192.0.2.1\n",
		Hierarchies: []Hierarchy{{Mount: "/sys/fs/cgroup", Unified: true, Controllers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}}}}
}

func TestRenderedMachines(t *testing.T) {
	base := inputs{
		layout:        layout{root: "/home/dev/drover/.drover/machines", namespace: "default", name: "workers-0a1b2-0"},
		record:        record{Bridge: "drover0", Address: "10.88.0.10/24", Gateway: "10.88.0.1", MachineID: "00112233445566778899aabbccddeeff", BootID: "b0070001-0000-4000-8000-000000000000"},
		agentBinary:   "/home/dev/drover/.drover/bin/drover-agent",
		sharedBundles: "/home/dev/drover/.drover/bundles",
		cgroupParent:  "drover",
	}
	cases := map[string]struct {
		reason string
		facts  Facts
		limits Limits
	}{
		"cgroup-v1":        {"On version 1 the machine sees the host's hierarchies and joins each.", v1Facts(), Limits{}},
		"cgroup-v1-limits": {"Limits are on the kubelet's cgroup root, in the controllers that have them.", v1Facts(), Limits{CPUs: 2, MemoryBytes: 2 << 30}},
		"cgroup-v2-limits": {"On version 2 the machine has a cgroup namespace, and its children the controllers.", v2Facts(), Limits{CPUs: 2, MemoryBytes: 2 << 30}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := base
			in.facts, in.limits = tc.facts, tc.limits
			got, err := json.MarshalIndent(map[string]any{"boot": renderBoot(in), "cgroups": renderCgroups(in), "link": renderLink(in)}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
				t.Errorf("%s (-want +got; -update writes it anew):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMasks(t *testing.T) {
	cases := map[string]struct {
		reason string
		root   string
		want   []string
	}{
		"Dev":       {"All the manager's state is beside the machines.", "/src/.drover/machines", []string{"/src/.drover"}},
		"TopLevel":  {"/ cannot be masked, the machines can.", "/machines", []string{"/machines"}},
		"VarLib":    {"Every machine has a /var of its own; a mask there would hide the machine's own state.", "/var/lib/drover/machines", nil},
		"Temporary": {"And a /tmp.", "/tmp/x/machines", nil},
		"Variant":   {"A name that only begins like one of those is not below it.", "/variant/machines", []string{"/variant"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, layout{root: tc.root, namespace: "a", name: "b"}.masks()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestLinkNamesFitAndDiffer(t *testing.T) {
	seen := map[string]layout{}
	for _, l := range []layout{{"/a", "n", "m"}, {"/b", "n", "m"}, {"/a", "o", "m"}, {"/a", "n", strings.Repeat("m", 63)}} {
		name := l.linkName()
		if len(name) > 15 {
			t.Errorf("%s has %d characters, the kernel takes 15", name, len(name))
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%v and %v share the link %s", l, other, name)
		}
		seen[name] = l
	}
}

func TestResolvConf(t *testing.T) {
	const real, stub = "nameserver 192.0.2.1\n", "nameserver 127.0.0.53\noptions edns0\n"
	cases := map[string]struct {
		reason string
		files  map[string]string
		want   string
	}{
		"Plain":    {"The host's own serves.", map[string]string{"/etc/resolv.conf": real}, real},
		"Resolved": {"A stub answers in the host's network namespace only.", map[string]string{"/etc/resolv.conf": stub, "/run/systemd/resolve/resolv.conf": real}, real},
		"None":     {"No server is better than one that never answers.", map[string]string{"/etc/resolv.conf": stub}, "# The host has no name server that its machines could reach.\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := resolvConf(func(path string) ([]byte, error) {
				if text, ok := tc.files[path]; ok {
					return []byte(text), nil
				}
				return nil, os.ErrNotExist
			})
			if got != tc.want {
				t.Errorf("%s Got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}
