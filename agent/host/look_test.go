package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// stock are the files of a Debian that nobody has prepared: its modules are not loaded and it has few inotify instances.
var stock = with(without(without(common, "proc/sys/net/bridge/bridge-nf-call-iptables"), "proc/sys/net/netfilter/nf_conntrack_max"), map[string]string{
	"proc/filesystems":                       "nodev\tproc\n\text4\n",
	"proc/sys/fs/inotify/max_user_instances": "128\n",
	"proc/self/cgroup":                       "0::/user.slice\n",
	"proc/self/mountinfo":                    "1 0 254:0 / / rw,relatime - ext4 /dev/vda rw\n",
	"sys/fs/cgroup/cgroup.controllers":       "cpuset cpu io memory pids\n",
	"run/systemd/system/x":                   "", "usr/sbin/nft": "", "usr/bin/mount": "", "usr/bin/umount": "",
	"lib/modules/6.1.0-18-amd64/modules.dep":     "kernel/fs/overlayfs/overlay.ko:\nkernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n",
	"lib/modules/6.1.0-18-amd64/modules.builtin": "kernel/net/netfilter/nf_tables.ko\n",
	"etc/os-release":     "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n",
	"etc/machine-id":     "5a1e\n",
	"sys/block/vda/size": "12582912\n", "sys/block/vda/device/x": "",
	"sys/block/loop0/size": "8\n",
})

func pool() *v1alpha1.NodeAgentSpec {
	spec := &v1alpha1.NodeAgentSpec{}
	spec.Proxy.Mode, spec.Network.Mode = v1alpha1.ProxyModeNFTables, v1alpha1.NetworkModeRoutes
	return spec
}

func TestALookFindsWhatTheAgentCannotMend(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		files  map[string]string
		spec   func(*v1alpha1.NodeAgentSpec)
		inUse  []string
		clock  *bool
		want   []string
	}{
		"stock":     {reason: "the agent loads modules and raises limits itself"},
		"no module": {reason: "it cannot load what is not there", files: map[string]string{"lib/modules/6.1.0-18-amd64/modules.dep": ""}, want: []string{"Blocking Overlayfs", "Warning BridgeNetfilter"}},
		"no nftables": {reason: "the rules of pods and Services need it", files: map[string]string{"lib/modules/6.1.0-18-amd64/modules.builtin": ""},
			want: []string{"Blocking NFTables"}},
		"noexec": {reason: "no program of a bundle could run", files: map[string]string{"proc/self/mountinfo": "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 254:1 / /var rw,nosuid,noexec - ext4 /dev/vdb rw\n"},
			want: []string{"Blocking StateMount"}},
		"noexec, mended": {reason: "what is mounted nearest counts", files: map[string]string{
			"proc/self/mountinfo": "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 254:1 / /var rw,noexec - ext4 /dev/vdb rw\n3 2 254:2 / /var/lib/drover rw - ext4 /dev/vdc rw\n",
		}},
		"read-only":     {reason: "there would be no place for the state", files: map[string]string{"proc/self/mountinfo": "1 0 254:0 / / ro - ext4 /dev/vda ro\n"}, want: []string{"Blocking StateMount"}},
		"SELinux":       {reason: "there is no policy of ours", files: map[string]string{"sys/fs/selinux/enforce": "1"}, want: []string{"Blocking SELinux"}},
		"permissive":    {reason: "SELinux only writes down", files: map[string]string{"sys/fs/selinux/enforce": "0"}},
		"docker":        {reason: "two would fight", files: map[string]string{"usr/bin/dockerd": "", "proc/77/comm": "dockerd\n"}, want: []string{"Blocking OtherRuntime"}},
		"idle kubelet":  {reason: "somebody may start it", files: map[string]string{"usr/bin/kubelet": ""}, want: []string{"Warning OtherRuntime"}},
		"leftovers":     {reason: "what another left is not ours to use", inUse: []string{"/var/lib/kubelet"}, want: []string{"Blocking OtherRuntime"}},
		"podman":        {reason: "it has no service", files: map[string]string{"usr/bin/podman": ""}},
		"no clock":      {reason: "certificates would end", clock: ptr.To(false), want: []string{"Warning NoTimeService"}},
		"swap":          {reason: "pods get none of it", files: map[string]string{"proc/swaps": "Filename Type Size\n/dev/vdb partition 1024\n"}, want: []string{"Warning Swap"}},
		"forbidden":     {reason: "the pool says so", files: map[string]string{"proc/swaps": "Filename Type Size\n/dev/vdb partition 1024\n"}, spec: func(s *v1alpha1.NodeAgentSpec) { s.Kubelet.FailSwapOn = ptr.To(true) }, want: []string{"Blocking Swap"}},
		"kernel of old": {reason: "pidfds need 5.10", files: map[string]string{"proc/sys/kernel/osrelease": "5.4.0-generic", "lib/modules/5.4.0-generic/modules.builtin": "overlay.ko\nbr_netfilter.ko\nnf_tables.ko\n"}, want: []string{"Blocking KernelTooOld"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, spec := machine(t, with(stock, c.files)), pool()
			s.NFTables = func() error { return errors.New("not supported") } // asked only where it loads no module
			s.TimeSynchronized = func() *bool { return c.clock }
			if c.spec != nil {
				c.spec(spec)
			}
			var got []string
			report := s.Look(t.Context(), "/var/lib/drover", spec, c.inUse)
			for _, f := range report.Findings {
				got = append(got, string(f.Severity)+" "+f.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s\n%v", c.reason, diff, report.Findings)
			}
		})
	}
}

func TestALookTellsWhatTheMachineIsLike(t *testing.T) {
	s := machine(t, with(stock, map[string]string{"proc/7/comm": "containerd\n"}))
	got := s.Look(t.Context(), "/var/lib/drover", pool(), nil).Facts
	want := node.HostFacts{
		Hostname: "node-1", MachineID: "5a1e", Architecture: got.Architecture, OS: "Debian GNU/Linux 12 (bookworm)", OSID: "debian",
		KernelRelease: "6.1.0-18-amd64", Systemd: true, CPUs: 4, MemoryBytes: 8000000 << 10, Disks: []node.HostDisk{{Name: "vda", Bytes: 6 << 30}},
		StateBytes: 40 << 30, StateFreeBytes: 20 << 30, CgroupVersion: 2, SELinux: node.SELinuxDisabled, Time: got.Time,
		Runtimes: []node.HostRuntime{{Name: "containerd", Running: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestALookChangesNothing(t *testing.T) {
	s := machine(t, stock)
	before := tree(t, s.Root)
	s.Look(t.Context(), "/var/lib/drover", pool(), nil) // Run, which loads modules, is nil
	if diff := cmp.Diff(before, tree(t, s.Root)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// tree is every file below a directory, with when it was written.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	if err := fs.WalkDir(os.DirFS(root), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(root, path))
		if err == nil {
			files[path] = info.ModTime().String()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}
