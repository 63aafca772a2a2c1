package vm

import (
	"path/filepath"
	"testing"
	"time"
)

// testServersThatAreUnfit makes the machine one that cannot be a node, or can though it looks odd, and reads what its Host
// says. What can be found by one look is made together.
func testServersThatAreUnfit(t *testing.T, debian *Server) {
	debian.put(t, filepath.Join(debian.root, ".drover", "bin", "containerd"), "/usr/local/bin/containerd")
	debian.atEnd(t, "rm -f /usr/local/bin/containerd")
	for _, tc := range []struct {
		name, make, undo string
		want             []string
	}{
		{"odd-but-fit", "fallocate -l 64M /swap && chmod 600 /swap && mkswap -q /swap && swapon /swap && mount --bind /usr/local /usr/local && mount -o remount,bind,ro /usr/local",
			"swapoff /swap; rm /swap; umount /usr/local; systemctl daemon-reload",
			[]string{"True PreflightPassed: ", "Swap: swap is on: pods get none", "OtherRuntime: containerd is installed here, though it does not run"}},
		{"runtime-clock-disk", "mkdir /run/other && systemd-run --quiet --unit=other-containerd containerd --root /run/other/root --state /run/other/state --address /run/other/sock" +
			" && date -s '+10 minutes' && fallocate -l $(($(df -B1 --output=avail /var | tail -1) - 500000000)) /var/full",
			"rm /var/full; date -s '-10 minutes'; systemctl stop other-containerd; rm -rf /run/other /opt/containerd /etc/cni /run/nri",
			[]string{"False PreflightFailed: ", "OtherRuntime: containerd runs here: remove it", "ClockOffset: the server's clock is ", "ahead of the manager's", "DiskSpace: "}},
		{"another-kubelet", "mkdir -p /var/lib/kubelet/pki && touch /var/lib/kubelet/config.yaml", "rm -r /var/lib/kubelet", []string{"False PreflightFailed: OtherRuntime: "}},
		{"full-disk", "fallocate -l $(($(stat -f -c '%f * %S' /var) - 65536)) /var/full; cat /dev/zero >> /var/full || true", "rm /var/full",
			[]string{"There is no space left on the server's disk: make room"}},
		{"noexec-var", "mount --bind /var /var && mount -o remount,bind,noexec /var", "umount /var; systemctl daemon-reload", []string{"mount the file system without noexec"}},
		{"read-only-var", "mount --bind /var /var && mount -o remount,bind,ro /var", "umount /var; systemctl daemon-reload", []string{"file system is read-only: remount it"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			debian.atEnd(t, tc.undo)
			debian.run(t, tc.make)
			applyHost(t, debian, tc.name, "")
			for _, want := range tc.want {
				debian.awaitKubectl(t, time.Minute, want, "get", "host", tc.name, "--output",
					`jsonpath={range .status.conditions[?(@.type=="Fit")]}{.status} {.reason}: {.message}{end}`)
			}
		})
	}
	debian.run(t, "rm /usr/local/bin/containerd")
	debian.isStock(t)
}
