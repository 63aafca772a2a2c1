package vm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// on runs a script as root on the machine, and returns what it printed.
func on(t *testing.T, script string) string {
	t.Helper()
	out, err := drover("ssh", name, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(out)
}

// put copies a file of this host to the machine.
func put(t *testing.T, from, to string) {
	t.Helper()
	if out, err := drover("put", name, from, to); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// putJSON writes a document to a file of the machine.
func putJSON(t *testing.T, document any, to string) {
	t.Helper()
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "document.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, file, to)
}

// eventually asks the machine until it answers what is wanted.
func eventually(t *testing.T, script, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if got = on(t, script+" || true"); strings.Contains(got, want) {
			return
		}
	}
	t.Fatalf("%s never printed %q, but at last:\n%s", script, want, got)
}

// inventory lists all of a machine that Drover could leave something in: files with what they are, units, mounts,
// links, routes, rules of the firewall, users, cgroups and kernel parameters. Left out is what a machine writes by
// itself: journal, caches and states of systemd's, what is on file systems of the kernel's, and the tests' own files.
const inventory = `
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root/drover-agent -o -path /var/log -o -path /var/tmp -o -path /var/lib/systemd \) -prune \
	-o ! -type d -printf '%p %y %m %U:%G %s %l\n' -o -type d -printf '%p %y %m %U:%G\n' | sort
find /run -xdev \( -path /run/systemd -o -path /run/udev -o -path /run/user -o -path /run/log -o -path /run/sshd \) -prune -o -printf '%p %y\n' | sort
find /var/log -name '*drover*' -o -name pods -o -name containers
systemctl list-unit-files --no-legend --no-pager | sort
systemctl list-units --all --no-legend --no-pager --plain --type=service --type=slice | grep -iE 'drover|kube|containerd' || true
grep -v ' /run/user' /proc/self/mountinfo | cut -d' ' -f5- | grep -v ' autofs \|binfmt_misc' | sort
ip -o link | sed 's/^[0-9]*: //; s/ qlen .*//' ; ip route show table all | sort
nft list tables; iptables-save | grep '^\*' || true
cat /etc/passwd /etc/group
find /sys/fs/cgroup -type d -name '*drover*'
sysctl -n net.ipv4.ip_forward fs.inotify.max_user_instances fs.inotify.max_user_watches vm.overcommit_memory kernel.panic kernel.panic_on_oops
`

// difference is what two inventories do not share.
func difference(before, after string) []string {
	count := map[string]int{}
	for line := range strings.SplitSeq(before, "\n") {
		count["- "+line]++
	}
	var lines []string
	for line := range strings.SplitSeq(after, "\n") {
		if count["- "+line] > 0 {
			count["- "+line]--
			continue
		}
		lines = append(lines, "+ "+line)
	}
	for line, left := range count {
		if left > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}
