package preflight

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
)

// Gather looks at this host. Files are those that must have been built.
func Gather(l layout.Layout, files []string) (Host, error) {
	h := Host{Root: os.Geteuid() == 0}
	if !h.Root {
		return h, nil
	}
	h.Features = tryFeatures(l.Root())
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			name, relErr := filepath.Rel(l.Repository, f)
			h.MissingFiles = append(h.MissingFiles, name)
			if relErr != nil {
				return h, relErr
			}
		}
	}
	var err error
	if h.Listeners, err = listeners(); err != nil {
		return h, fmt.Errorf("look at the ports in use: %w", err)
	}
	if err := h.gatherNetwork(); err != nil {
		return h, fmt.Errorf("look at the network: %w", err)
	}
	return h, nil
}

func (h *Host) gatherNetwork() error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	h.Networks = map[netip.Prefix]string{}
	for _, link := range links {
		name := link.Attrs().Name
		h.Links = append(h.Links, name)
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			h.addNetwork(&net.IPNet{IP: a.IP, Mask: net.CIDRMask(32, 32)}, "an address of "+name)
		}
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil && r.Dst != nil {
			h.addNetwork(r.Dst, "a route through "+link.Attrs().Name)
		}
	}
	return nil
}

func (h *Host) addNetwork(n *net.IPNet, who string) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if ok {
		h.Networks[netip.PrefixFrom(addr.Unmap(), ones)] = who
	}
}

// listeners maps the TCP ports listened on to whoever listens.
func listeners() (map[int]string, error) {
	inodes := map[string]int{}
	for _, file := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		raw, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for inode, port := range parseListeners(string(raw)) {
			inodes[inode] = port
		}
	}
	found := map[int]string{}
	for _, port := range inodes {
		found[port] = "a process that cannot be seen from here"
	}
	for _, pid := range process.PIDs() {
		for _, inode := range socketsOf(pid) {
			if port, ok := inodes[inode]; ok {
				comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				found[port] = fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(comm)), pid)
			}
		}
	}
	return found, nil
}

// parseListeners reads the form of /proc/net/tcp: local address in field 2, state in field 4 (0A is LISTEN), socket
// inode in field 10.
func parseListeners(table string) map[string]int {
	found := map[string]int{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(port)
		if err == nil && len(raw) == 2 {
			found[fields[9]] = int(binary.BigEndian.Uint16(raw))
		}
	}
	return found
}

func socketsOf(pid int) []string {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it ended
	}
	var inodes []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && err == nil {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}
