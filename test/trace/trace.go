// Package trace sees what Drover leaves on a host: a test takes a Snapshot before and after, and the difference must
// be nothing. It looks for itself and shares no code with what cleans up.
package trace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
)

// Snapshot is what a host holds of the kinds of things that Drover makes, one line each.
type Snapshot map[string]struct{}

// sysctls that nodes or their host may change.
var sysctls = []string{
	"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/all/route_localnet",
	"net/netfilter/nf_conntrack_max", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
}

// Take looks at the host: mounts, links, routes, network namespaces, nftables tables, cgroups, sysctls, files in /run, the
// processes whose executable or arguments lie under dir, and Drover's components.
func Take(dir string) (Snapshot, error) {
	snapshot := Snapshot{}
	for _, look := range []func(Snapshot) error{mounts, links, routes, namespaces, tables, cgroups, sysctlValues, records} {
		if err := look(snapshot); err != nil {
			return nil, err
		}
	}
	return snapshot, processes(snapshot, dir)
}

// Since lists what s has that before had not ("+ …") and the other way round ("- …"), sorted. A process that has ended
// since is left out: it was none of the caller's.
func (s Snapshot) Since(before Snapshot) []string {
	var difference []string
	for line := range s {
		if _, was := before[line]; !was {
			difference = append(difference, "+ "+line)
		}
	}
	for line := range before {
		if _, is := s[line]; !is && !strings.HasPrefix(line, "process ") {
			difference = append(difference, "- "+line)
		}
	}
	sort.Strings(difference)
	return difference
}

func (s Snapshot) add(format string, args ...any) { s[fmt.Sprintf(format, args...)] = struct{}{} }

func mounts(s Snapshot) error {
	all, err := mountinfo.GetMounts(nil)
	for _, m := range all {
		s.add("mount %s (%s)", m.Mountpoint, m.FSType)
	}
	return err
}

func links(s Snapshot) error {
	all, err := netlink.LinkList()
	for _, link := range all {
		s.add("link %s (%s)", link.Attrs().Name, link.Type())
	}
	return err
}

func routes(s Snapshot) error {
	all, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	for _, route := range all {
		s.add("route %s via %s", route.Dst, route.Gw)
	}
	return err
}

func namespaces(s Snapshot) error {
	for _, pattern := range []string{"/run/netns/*", "/var/run/netns/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			s.add("network namespace %s", filepath.Base(name))
		}
	}
	return nil
}

func tables(s Snapshot) error {
	out, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		return fmt.Errorf("list nftables tables: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		s.add("nftables %s", strings.TrimSpace(line))
	}
	return nil
}

// cgroups lists the groups two levels deep, as deep as Drover's own start, in every hierarchy.
func cgroups(s Snapshot) error {
	for _, pattern := range []string{"/sys/fs/cgroup/*/drover*", "/sys/fs/cgroup/drover*", "/sys/fs/cgroup/*/kubepods*", "/sys/fs/cgroup/kubepods*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			s.add("cgroup %s", name)
		}
	}
	return nil
}

func sysctlValues(s Snapshot) error {
	for _, name := range sysctls {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		s.add("sysctl %s = %s", name, strings.TrimSpace(string(value)))
	}
	return nil
}

// records are files outside of any checkout.
func records(s Snapshot) error {
	names, err := filepath.Glob("/run/drover*")
	for _, name := range names {
		s.add("file %s", name)
	}
	return err
}

// components are the programs that Drover starts, wherever they lie: inside a machine their paths are the machine's own.
var components = map[string]bool{
	"etcd": true, "controlplane": true, "kube-node": true, "node": true, "containerd": true, "containerd-shim-runc-v2": true, "runc": true,
	"drover-manager": true, "drover-agent": true,
}

// processes lists the processes that have to do with dir and those of Drover's components, without their IDs so that
// the same set compares equal.
func processes(s Snapshot, dir string) error {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if filepath.Base(entry) == fmt.Sprint(os.Getpid()) {
			continue
		}
		executable, _ := os.Readlink(filepath.Join(entry, "exe"))
		arguments, _ := os.ReadFile(filepath.Join(entry, "cmdline"))
		line := strings.ReplaceAll(string(arguments), "\x00", " ")
		if strings.Contains(line, "golangci-lint") {
			continue // it reads the sources beside the tests, and ends by itself
		}
		if components[filepath.Base(executable)] || strings.HasPrefix(executable, dir+"/") || strings.Contains(line, dir+"/") {
			s.add("process %s: %s", filepath.Base(executable), line)
		}
	}
	return nil
}
