package vm

import (
	"strings"
	"testing"
)

// The tests of real machines prove nothing on one that was made for them.
func testTheMachineIsAStockDebian(t *testing.T, debian *Server) {
	for _, tc := range []struct{ what, line, want string }{
		{"the distribution", ". /etc/os-release && echo $ID $VERSION_ID", "debian 12"},
		{"systemd", "systemctl is-system-running --wait", "running"},
		{"failed units", "systemctl list-units --failed --no-legend", ""},
		{"cgroups", "stat -f -c %T /sys/fs/cgroup", "cgroup2fs"},
		{"instances of inotify", "cat /proc/sys/fs/inotify/max_user_instances", "128"},
		{"what is Drover's", "find / -xdev -iname '*drover*'", ""},
		{"what is a cluster's", "ls -d /etc/kubernetes /etc/cni /opt/cni /var/lib/kubelet /var/lib/containerd 2>/dev/null || true", ""},
	} {
		if got := debian.run(t, tc.line); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}

// There is an account for each way to become root.
func testPrivileges(t *testing.T, debian *Server) {
	for _, tc := range []struct{ user, line, want string }{
		{"root", "id -u", "0"},
		{"debian", "sudo -n id -u", "0"},
		{"operator", "echo " + debian.Password + " | sudo -S -p '' id -u", "0"},
	} {
		if got, err := debian.as(t.Context(), tc.user, tc.line); err != nil || got != tc.want {
			t.Errorf("%s is %q on the machine by %s, want %s: %v", tc.user, got, tc.line, tc.want, err)
		}
	}
	for user, why := range map[string]string{"operator": "a password is required", "guest": "a password is required"} {
		if _, err := debian.as(t.Context(), user, "sudo -n true"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("sudo without a password by %s: %v, want that %s", user, err, why)
		}
	}
}
