package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/internal/procfs"
)

// LinuxHost is the host this process runs on.
type LinuxHost struct{}

var _ Host = LinuxHost{}

// Facts implements Host.
func (LinuxHost) Facts(root string) (Facts, error) {
	if err := requirements(root); err != nil {
		return Facts{}, err
	}
	bootID, err := procfs.BootID()
	if err != nil {
		return Facts{}, err
	}
	facts := Facts{BootID: bootID, ResolvConf: resolvConf(os.ReadFile)}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "cgroup" && m.FSType != "cgroup2", false
	})
	if err != nil {
		return Facts{}, fmt.Errorf("list the cgroup mounts: %w", err)
	}
	for _, m := range mounts {
		facts.addHierarchy(m)
	}
	if len(facts.Hierarchies) == 0 {
		return Facts{}, unmakeable("No cgroup file system is mounted below /sys/fs/cgroup: mount cgroup2 there.")
	}
	facts.CgroupLinks = linksIn(cgroupRoot)
	return facts, nil
}

// requirements are what local machines need of any host.
func requirements(root string) error {
	if os.Geteuid() != 0 {
		return unmakeable("Local machines need root: run the manager as root, or use another kind of machine.")
	}
	if err := unix.Access("/proc/self/ns/pid", unix.F_OK); err != nil {
		return unmakeable("The kernel has no pid namespaces: local machines need a kernel with namespaces.")
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err == nil && !slices.Contains(strings.Fields(string(filesystems)), "overlay") {
		return unmakeable("The kernel has no overlay file system: run `modprobe overlay`.")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return unmakeable(fmt.Sprintf("%s is on an overlay file system, which cannot carry another one's changes: give --local-root a directory on a disk.", root))
	}
	var slash, usr unix.Stat_t
	if errors.Join(unix.Stat("/", &slash), unix.Stat("/usr", &usr)) == nil && slash.Dev != usr.Dev {
		return unmakeable("/usr is a file system of its own, which machines made over / would not see: local machines need /usr on the root file system.")
	}
	return nil
}

func (f *Facts) addHierarchy(m *mountinfo.Info) {
	if !strings.HasPrefix(m.Mountpoint, cgroupRoot) || m.Root != "/" {
		return
	}
	h := Hierarchy{Mount: m.Mountpoint, Unified: m.FSType == "cgroup2"}
	if h.Unified {
		list, _ := os.ReadFile(filepath.Join(h.Mount, "cgroup.controllers"))
		h.Controllers = strings.Fields(string(list))
	} else {
		h.Controllers = strings.Split(m.VFSOptions, ",")
	}
	f.Hierarchies = append(f.Hierarchies, h)
	switch {
	case h.Unified && h.Mount == cgroupRoot:
		f.CgroupVersion = 2
	case f.CgroupVersion == 0:
		f.CgroupVersion = 1
	}
}

// linksIn are the symbolic links in a directory, by name (cpu → cpu,cpuacct on most hosts of version 1).
func linksIn(dir string) map[string]string {
	links := map[string]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			links[e.Name()] = to
		}
	}
	return links
}

// resolvConf is the host's, or systemd-resolved's real one where the host's asks an address that only the host's
// network namespace has.
func resolvConf(read func(string) ([]byte, error)) string {
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, err := read(path)
		if err == nil && hasReachableServer(string(data)) {
			return string(data)
		}
	}
	return "# The host has no name server that its machines could reach.\n"
}

func hasReachableServer(conf string) bool {
	for line := range strings.Lines(conf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && !a.IsLoopback() {
			return true
		}
	}
	return false
}

// Bridge implements Host.
func (LinuxHost) Bridge(name string) (Bridge, error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return Bridge{}, unmakeable(fmt.Sprintf("The host has no bridge %s: make it (`ip link add %[1]s type bridge`, then an address for it) or name another one in spec.network.bridge.", name))
	}
	if err != nil {
		return Bridge{}, fmt.Errorf("look up the bridge %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return Bridge{}, unmakeable(fmt.Sprintf("The host's link %s is a %s, not a bridge: name a bridge in spec.network.bridge.", name, link.Type()))
	}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return Bridge{}, fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	if len(addresses) == 0 || link.Attrs().Flags&unix.IFF_UP == 0 {
		return Bridge{}, unmakeable(fmt.Sprintf("The bridge %s is down or has no IPv4 address: give it one (`ip addr add 10.88.0.1/24 dev %[1]s`) and set it up.", name))
	}
	a, _ := netip.AddrFromSlice(addresses[0].IP.To4())
	bits, _ := addresses[0].Mask.Size()
	return Bridge{Name: name, Address: netip.PrefixFrom(a, bits)}, nil
}
