package vm

import (
	"context"
	_ "embed" // the script that looks
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

//go:embed snapshot.sh
var lookScript string

// Snapshot is what a machine holds: files, units, mounts, links, addresses, routes, tables, kernel parameters, cgroups and
// processes, one line each. Users and groups are the content of files.
type Snapshot map[string]struct{}

// look takes a snapshot of the machine.
func (s *Server) look(ctx context.Context) (Snapshot, error) {
	// What a boot still makes is of the machine. It ends with an error where a unit failed, which is for a test to find.
	_, _ = s.asRoot(ctx, "systemctl is-system-running --wait")
	out, err := s.drover(ctx, commandLimit, lookScript, "ssh", s.Name, "sh -s")
	if err != nil {
		return nil, fmt.Errorf("look at the machine: %w", err)
	}
	lines := Snapshot{}
	for line := range strings.Lines(out) {
		lines[strings.TrimSpace(line)] = struct{}{}
	}
	// Less would mean that the script did not come far.
	if len(lines) < 5000 {
		return nil, fmt.Errorf("look at the machine: a whole Debian has %d things, want thousands", len(lines))
	}
	return lines, nil
}

// differences are what the machine holds that it did not before any test, and the other way round.
func (s *Server) differences(t *testing.T) []string {
	t.Helper()
	now, err := s.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now.since(s.stock)
}

// isStock fails the test if anything is left on the machine, or missing from it.
func (s *Server) isStock(t *testing.T) {
	t.Helper()
	if left := s.differences(t); len(left) > 0 {
		t.Errorf("the machine is not what it was before:\n%s", strings.Join(left, "\n"))
	}
}

// since lists what came ("+ …") and what went ("- …").
func (s Snapshot) since(before Snapshot) []string {
	return append(s.without(before, "+ "), before.without(s, "- ")...)
}

// without lists what s has and other has not. A kernel parameter that other does not know at all is left out: it came with
// a module of the kernel's, which stays loaded, or went with a link.
func (s Snapshot) without(other Snapshot, mark string) []string {
	known := other.parameters()
	var difference []string
	for _, line := range slices.Sorted(maps.Keys(s)) {
		_, has := other[line]
		name, isParameter := parameter(line)
		if !has && (!isParameter || known[name]) {
			difference = append(difference, mark+line)
		}
	}
	return difference
}

func (s Snapshot) parameters() map[string]bool {
	names := map[string]bool{}
	for line := range s {
		if name, is := parameter(line); is {
			names[name] = true
		}
	}
	return names
}

// parameter is the name of the kernel parameter that a line tells of.
func parameter(line string) (name string, is bool) {
	name, _, _ = strings.Cut(line, " = ")
	return strings.CutPrefix(name, "sysctl ")
}

// What a snapshot does not see may be left behind for ever: each kind of thing is made once, and undone.
func testSnapshotSeesWhatIsLeft(t *testing.T, debian *Server) {
	made := []struct{ what, make, undo, want string }{
		{"a file", "touch /etc/left", "rm /etc/left", "+ file /etc/left f"},
		{"a file of the runtime's", "mkdir /run/left", "rmdir /run/left", "+ file /run/left d"},
		{"a changed file", "cp -p /etc/hosts /root/hosts && echo 192.0.2.1 left >> /etc/hosts", "cat /root/hosts > /etc/hosts && rm /root/hosts", "- content "},
		{"a unit", "printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/left.service && systemctl daemon-reload",
			"rm /etc/systemd/system/left.service && systemctl daemon-reload", "+ file /etc/systemd/system/left.service f"},
		{"a process", "systemd-run --quiet --unit=left-process sleep 1000", "systemctl stop left-process", "+ process sleep"},
		{"a mount", "mount -t tmpfs left /mnt", "umount /mnt", "+ mount /mnt tmpfs"},
		{"a link", "ip link add left type bridge", "ip link delete left", "+ link left"},
		{"a route", "ip route add blackhole 192.0.2.0/24", "ip route delete blackhole 192.0.2.0/24", "+ route -4 blackhole 192.0.2.0/24"},
		{"a network namespace", "ip netns add left", "ip netns delete left && umount /run/netns && rmdir /run/netns", "+ network namespace left"},
		{"a table", "nft add table inet left", "nft delete table inet left", "+ nftables table inet left"},
		{"a kernel parameter", "sysctl -q -w fs.inotify.max_user_instances=129", "sysctl -q -w fs.inotify.max_user_instances=128", "+ sysctl fs.inotify.max_user_instances = 129"},
		{"a user", "useradd --system left", "userdel left", "- content "},
		{"a cgroup", "mkdir /sys/fs/cgroup/left", "rmdir /sys/fs/cgroup/left", "+ cgroup /sys/fs/cgroup/left"},
	}
	var makeAll, undoAll []string
	for _, thing := range made {
		makeAll = append(makeAll, thing.make)
		undoAll = append(undoAll, thing.undo)
	}
	debian.run(t, strings.Join(makeAll, " && "))
	difference := debian.differences(t)
	debian.run(t, strings.Join(undoAll, "; "))
	for _, thing := range made {
		if !slices.ContainsFunc(difference, func(line string) bool { return strings.HasPrefix(line, thing.want) }) {
			t.Errorf("The snapshot does not see %s; it sees:\n%s", thing.what, strings.Join(difference, "\n"))
		}
	}
	debian.isStock(t)
}

func ExampleSnapshot() {
	before := Snapshot{"link lo": {}, "link eth0": {}, "sysctl kernel.panic = 0": {}}
	now := Snapshot{"link lo": {}, "link cni0": {}, "sysctl kernel.panic = 10": {}, "sysctl net.netfilter.nf_conntrack_acct = 0": {}}
	fmt.Println(strings.Join(now.since(before), "\n"))
	// Output:
	// + link cni0
	// + sysctl kernel.panic = 10
	// - link eth0
	// - sysctl kernel.panic = 0
}
