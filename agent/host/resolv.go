package host

import (
	"net/netip"
	"strings"
)

const (
	resolvConf = "/etc/resolv.conf"
	// resolvedConf is where systemd-resolved writes the servers behind its own stub.
	resolvedConf = "/run/systemd/resolve/resolv.conf"
)

// ResolvConf is the file with the DNS servers that pods can use as well. Where the machine's own file names nothing
// but a stub on its loopback, as with systemd-resolved, that is the file with the servers behind the stub: a pod that
// asked the stub would ask itself.
func (s *System) ResolvConf() string {
	if s.Exists(resolvedConf) && onlyLoopback(s.lines(resolvConf)) {
		return resolvedConf
	}
	return resolvConf
}

// onlyLoopback says that a resolv.conf names servers, all of them on the loopback.
func onlyLoopback(lines []string) bool {
	named := false
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		address, err := netip.ParseAddr(fields[1])
		if err != nil || !address.IsLoopback() {
			return false
		}
		named = true
	}
	return named
}
