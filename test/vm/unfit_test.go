package vm

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServersThatAreUnfit makes the machine one that cannot be a node, or can though it looks odd, and reads what its Host
// says.
func TestServersThatAreUnfit(t *testing.T) {
	debian.put(t, filepath.Join(debian.root, ".drover", "bin", "containerd"), "/usr/local/bin/containerd")
	debian.atEnd(t, "rm /usr/local/bin/containerd")
	before := debian.snapshot(t)
	for _, tc := range []struct{ name, make, undo, want string }{
		{"containerd-installed", "true", "true", "OtherRuntime: containerd is installed here, though it does not run"},
		{"containerd-runs", "mkdir /run/other && systemd-run --quiet --unit=other-containerd containerd --root /run/other/root --state /run/other/state --address /run/other/sock",
			"systemctl stop other-containerd; rm -r /run/other; rm -rf /opt/containerd", "False PreflightFailed: OtherRuntime: containerd runs here: remove it"},
		{"another-kubelet", "mkdir -p /var/lib/kubelet/pki && touch /var/lib/kubelet/config.yaml", "rm -r /var/lib/kubelet", "False PreflightFailed: OtherRuntime: "},
		{"clock-ahead", "date -s '+10 minutes'", "date -s '-10 minutes'", "False PreflightFailed: ClockOffset: the server's clock is "},
		{"full-disk", "fallocate -l $(($(stat -f -c '%f * %S' /var) - 65536)) /var/full; cat /dev/zero >> /var/full || true", "rm /var/full", "There is no space left on the server's disk: make room"},
		{"little-disk", "fallocate -l $(($(df -B1 --output=avail /var | tail -1) - 500000000)) /var/full", "rm /var/full", "False PreflightFailed: DiskSpace: "},
		{"swap", "fallocate -l 64M /swap && chmod 600 /swap && mkswap -q /swap && swapon /swap", "swapoff /swap; rm /swap", "Swap: swap is on: pods get none"},
		{"noexec-var", "mount --bind /var /var && mount -o remount,bind,noexec /var", "umount /var; systemctl daemon-reload", "mount the file system without noexec"},
		{"read-only-var", "mount --bind /var /var && mount -o remount,bind,ro /var", "umount /var; systemctl daemon-reload", "file system is read-only: remount it"},
		{"read-only-usr-local", "mount --bind /usr/local /usr/local && mount -o remount,bind,ro /usr/local", "umount /usr/local; systemctl daemon-reload", "True PreflightPassed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			debian.atEnd(t, tc.undo)
			debian.run(t, tc.make)
			applyHost(t, tc.name, "")
			awaitKubectl(t, time.Minute, tc.want, "get", "host", tc.name, "--output",
				`jsonpath={range .status.conditions[?(@.type=="Fit")]}{.status} {.reason}: {.message}{end}`)
		})
	}
	if left := debian.snapshot(t).since(before); len(left) > 0 {
		t.Errorf("the server is not what it was before:\n%s", strings.Join(left, "\n"))
	}
}
