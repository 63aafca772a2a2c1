package diagnose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/host"
)

// interesting are the sysctls that decide whether a node works.
var interesting = []string{
	"fs.file-max", "fs.inotify.max_user_instances", "fs.inotify.max_user_watches", "fs.inotify.max_queued_events", "fs.nr_open",
	"kernel.panic", "kernel.panic_on_oops", "kernel.pid_max", "kernel.threads-max", "kernel.random.boot_id",
	"net.bridge.bridge-nf-call-ip6tables", "net.bridge.bridge-nf-call-iptables", "net.core.somaxconn",
	"net.ipv4.conf.all.forwarding", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.all.route_localnet", "net.ipv4.conf.cni0.forwarding",
	"net.ipv4.conf.default.rp_filter", "net.ipv4.ip_forward", "net.ipv4.ip_local_port_range", "net.ipv4.neigh.default.gc_thresh3",
	"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.all.forwarding", "net.netfilter.nf_conntrack_max",
	"vm.max_map_count", "vm.overcommit_memory", "vm.panic_on_oom", "vm.swappiness", "user.max_user_namespaces",
}

// readMachine collects what the machine is, and what of it is used.
func readMachine(_ context.Context, o Options, f *found) {
	f.json("machine/inventory.json", host.NewSystem().Inventory(o.StateDir))
	for name, path := range map[string]string{
		"kernel": "/proc/version", "memory": "/proc/meminfo", "load": "/proc/loadavg", "uptime": "/proc/uptime", "mounts": "/proc/self/mountinfo",
		"processors": "/proc/stat", "vmstat": "/proc/vmstat", "pressure-cpu": "/proc/pressure/cpu", "pressure-memory": "/proc/pressure/memory",
		"pressure-io": "/proc/pressure/io", "os-release": "/etc/os-release", "modules": "/proc/modules",
	} {
		f.copy("machine/"+name+".txt", path)
	}
	var sysctls strings.Builder
	for _, name := range interesting {
		// A name of a link may have dots; cni0 has none.
		data, _, err := readFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), 4096)
		if err != nil {
			fmt.Fprintf(&sysctls, "# %s: %v\n", name, err)
			continue
		}
		fmt.Fprintf(&sysctls, "%s = %s\n", name, strings.TrimSpace(string(data)))
	}
	f.text("machine/sysctls.txt", sysctls.String())
	readDisks(o, f)
}

// readDisks collects how full the filesystems are that the node needs. A filesystem may hang, so it comes last.
func readDisks(o Options, f *found) {
	var out strings.Builder
	for _, dir := range []string{"/", o.StateDir, o.RunDir, o.Paths.LogDir, o.Paths.KubeletDir, o.Paths.ContainerdRoot, o.Paths.ContainerdState, os.TempDir()} {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			f.miss("the filesystem of "+dir, err)
			continue
		}
		block := uint64(s.Bsize)
		fmt.Fprintf(&out, "%s: %d of %d bytes free, %d of %d inodes free\n", dir, s.Bavail*block, s.Blocks*block, s.Ffree, s.Files)
	}
	f.text("machine/disks.txt", out.String())
}

const (
	// cgroupDepth and maxCgroups bound which cgroups are looked at.
	cgroupDepth = 4
	maxCgroups  = 500
)

// cgroupFiles are what tells of memory and processes, of version 2 and of version 1.
var cgroupFiles = []string{
	"memory.current", "memory.max", "memory.events", "memory.pressure", "pids.current", "pids.max", "pids.events", "cpu.stat", "cgroup.freeze",
	"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt", "memory.oom_control",
}

// readCgroups collects what the cgroups of the components and the pods use, and how often they had too little.
func readCgroups(ctx context.Context, o Options, f *found) {
	const mount = "/sys/fs/cgroup"
	roots := []string{mount}
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err != nil { // version 1
		roots = []string{filepath.Join(mount, "memory"), filepath.Join(mount, "pids")}
	}
	var out strings.Builder
	for _, root := range roots {
		top, left := filepath.Join(root, o.CgroupRoot), maxCgroups
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil && path == top:
				return err
			case err != nil || !entry.IsDir():
				return nil //nolint:nilerr // it went while it was looked at
			case left <= 0 || strings.Count(strings.TrimPrefix(path, top), "/") > cgroupDepth:
				return fs.SkipDir
			}
			left--
			fmt.Fprintf(&out, "%s\n", path)
			for _, name := range cgroupFiles {
				if data, _, err := readFile(filepath.Join(path, name), 4096); err == nil {
					fmt.Fprintf(&out, "  %s: %s\n", name, strings.Join(strings.Split(strings.TrimSpace(string(data)), "\n"), ", "))
				}
			}
			return nil
		})
		if err != nil {
			f.miss("the cgroups below "+top, err)
		}
	}
	f.text("cgroups.txt", out.String())
}

// readSystemd collects what systemd knows of the agent, where there is one.
func readSystemd(ctx context.Context, _ Options, f *found) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		f.miss("systemd", errors.New("this machine is not run by systemd"))
		return
	}
	f.run(ctx, "systemd/status.txt", "systemctl", "--no-pager", "--full", "status", "drover-agent.service", "drover-node.service", "drover.slice")
	f.run(ctx, "systemd/failed.txt", "systemctl", "--no-pager", "--failed")
	f.run(ctx, "systemd/agent.log", "journalctl", "--no-pager", "--unit=drover-agent.service", "--lines=5000", "--output=short-iso")
	for _, unit := range []string{"drover-agent.service", "drover-node.service", "drover.slice"} {
		f.copy("systemd/"+unit, filepath.Join("/etc/systemd/system", unit))
	}
}

// maxKernel is the most of the kernel's messages.
const maxKernel = 512 << 10

// readKernel collects the kernel's newest messages.
func readKernel(ctx context.Context, _ Options, f *found) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		f.miss("/dev/kmsg", err)
		return
	}
	defer func() { _ = unix.Close(fd) }()
	var messages bytes.Buffer
	cut := false
	record := make([]byte, 16<<10)
	for ctx.Err() == nil {
		n, err := unix.Read(fd, record)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue // messages were overwritten while they were read
		}
		if err != nil || n <= 0 {
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				f.miss("/dev/kmsg", err)
			}
			break
		}
		messages.WriteString(message(string(record[:n])))
		if messages.Len() > 2*maxKernel {
			messages.Next(messages.Len() - maxKernel)
			cut = true
		}
	}
	text := messages.Bytes()
	if len(text) > maxKernel {
		text, cut = text[len(text)-maxKernel:], true
	}
	f.add(file{name: "kernel.log", content: text, tail: true, cut: cut})
}

// message is a record of /dev/kmsg as dmesg shows it: "6,1234,5678901,-;text" is "[5.678901] text".
func message(record string) string {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.SplitN(head, ",", 4)
	if !ok || len(fields) < 3 {
		return record
	}
	text, _, _ = strings.Cut(text, "\n") // what follows are keys for machines
	since, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return record
	}
	return fmt.Sprintf("[%.6f] %s\n", time.Duration(since*1000).Seconds(), text)
}
