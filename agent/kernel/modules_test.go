package kernel

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModulesAreLoadedIntoAKernelOfOnesOwn(t *testing.T) {
	const overlay, bridge, conntrack = "proc/filesystems", "proc/sys/net/bridge/bridge-nf-call-iptables", "proc/sys/net/netfilter/nf_conntrack_max"
	bare := with(common, map[string]string{overlay: "nodev\tproc\n\text4\n"})
	bare = without(without(bare, bridge), conntrack)
	own := func(files map[string]string) map[string]string {
		return with(with(files, v1("/")), map[string]string{"sbin/modprobe": "", "proc/sys/kernel/modprobe": "/sbin/modprobe\n"})
	}
	for name, c := range map[string]struct {
		reason string
		files  map[string]string
		fails  bool
		ran    string
		loaded []string
	}{
		"after a boot": {
			reason: "nobody else loads them", files: own(bare),
			ran: "/sbin/modprobe -a overlay br_netfilter nf_conntrack", loaded: []string{"overlay", "br_netfilter", "nf_conntrack"},
		},
		"one missing": {
			reason: "what is there is left alone", files: own(without(common, conntrack)),
			ran: "/sbin/modprobe -a nf_conntrack", loaded: []string{"nf_conntrack"},
		},
		"all there":       {reason: "nothing is run", files: own(common)},
		"not to be had":   {reason: "the preflight says what is missing", files: own(bare), fails: true, ran: "/sbin/modprobe -a overlay br_netfilter nf_conntrack"},
		"shared host":     {reason: "the kernel is somebody else's", files: with(own(bare), v1("/drover/m1/system"))},
		"local machine":   {reason: "a cgroup namespace makes no kernel", files: with(without(own(bare), "proc/self/cgroup"), map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu\n", "proc/self/cgroup": "0::/system\n"})},
		"no capability":   {reason: "a container may load nothing", files: with(own(bare), map[string]string{"proc/self/status": "CapEff:\t000001fffffeffff\n"})},
		"no modprobe":     {reason: "there is nothing to run", files: without(own(bare), "sbin/modprobe")},
		"kernel's choice": {reason: "a distribution may have it elsewhere", files: with(own(without(common, conntrack)), map[string]string{"run/sw/modprobe": "", "proc/sys/kernel/modprobe": "/run/sw/modprobe\n"}), ran: "/run/sw/modprobe -a nf_conntrack", loaded: []string{"nf_conntrack"}},
		"not said":        {reason: "it is looked for where programs are", files: without(own(without(common, conntrack)), "proc/sys/kernel/modprobe"), ran: "/sbin/modprobe -a nf_conntrack", loaded: []string{"nf_conntrack"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := machine(t, c.files)
			ran := ""
			k.Run = func(_ context.Context, program string, args ...string) error {
				ran = strings.Join(append([]string{program}, args...), " ")
				if c.fails {
					return errors.New("module not found")
				}
				for name, content := range map[string]string{overlay: "nodev\toverlay\n", bridge: "1\n", conntrack: "65536\n"} {
					path := filepath.Join(k.Host.Root, name)
					if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
						t.Fatal(err)
					}
				}
				return nil
			}
			loaded, err := k.LoadModules(t.Context())
			if (err != nil) != c.fails {
				t.Errorf("%s: got %v, want an error: %t", c.reason, err, c.fails)
			}
			if diff := cmp.Diff(c.ran, ran); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(c.loaded, loaded); diff != "" && len(c.loaded)+len(loaded) > 0 {
				t.Errorf("%s: loaded (-want +got):\n%s", c.reason, diff)
			}
			if missing := k.Host.MissingModules(); c.loaded != nil && len(missing) > 0 {
				t.Errorf("%s: after loading %v are missing", c.reason, missing)
			}
		})
	}
}
