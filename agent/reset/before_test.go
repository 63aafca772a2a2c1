package reset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func addTable(t *testing.T, name string) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: name})
	conn.AddChain(&nftables.Chain{Table: table, Name: "FORWARD", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestResetGivesBackWhatWasBefore(t *testing.T) {
	o, out := machine(t)
	put(t, o.Root+"/etc/cni/net.d/10-others.conf", "theirs")
	put(t, o.Root+"/var/lib/cni/theirs", "theirs")
	put(t, o.Root+"/proc/sys/net/ipv4/ip_forward", "0\n")
	put(t, o.Root+"/proc/sys/vm/panic_on_oom", "1\n")
	addTable(t, "nat")
	if err := (baseline.Recorder{Root: o.Root, StateDir: o.StateDir, RunDir: o.RunDir}).Record(); err != nil {
		t.Fatal(err)
	}
	made := []string{"/etc/systemd/logind.conf.d/99-kubelet.conf", "/usr/libexec/kubernetes/kubelet-plugins/x", "/run/nri/nri.sock", "/etc/drover/bootstrap.json"}
	for _, path := range made {
		put(t, o.Root+path, "")
	}
	put(t, o.Root+"/opt/theirs", "made since")
	put(t, o.Root+"/proc/sys/net/ipv4/ip_forward", "1\n")
	addTable(t, "filter")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(made, "/etc/systemd/logind.conf.d", "/usr/libexec", "/run/nri", "/etc/drover") {
		if exists(o.Root + path) {
			t.Errorf("%s is left; it said:\n%s", path, out)
		}
	}
	for path, want := range map[string]string{
		"/etc/cni/net.d/10-others.conf": "theirs", "/var/lib/cni/theirs": "theirs", "/opt/theirs": "made since",
		"/proc/sys/net/ipv4/ip_forward": "0", "/proc/sys/vm/panic_on_oom": "1\n",
	} {
		if data, err := os.ReadFile(o.Root + path); err != nil || string(data) != want {
			t.Errorf("%s is %q, %v; want %q", path, data, err, want)
		}
	}
	if tables := baseline.Tables(); !slices.Equal(tables, []string{"ip nat"}) {
		t.Errorf("the tables are %v, want the one that was there", tables)
	}
}

// unclaimed is a machine on which an agent was installed that got no further: no directory is marked as its own.
func unclaimed(t *testing.T) (Options, *bytes.Buffer) {
	t.Helper()
	o, out := machine(t)
	for _, dir := range []string{o.Paths.KubeletDir, o.Paths.ContainerdRoot, o.Paths.ContainerdState} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	return o, out
}

func TestResetGivesBackAMachineWhoseAgentClaimedNothingYet(t *testing.T) {
	o, out := unclaimed(t)
	put(t, o.Root+"/proc/sys/net/ipv4/ip_forward", "0\n")
	put(t, o.Root+"/var/log/theirs", "")
	if err := (baseline.Recorder{Root: o.Root, StateDir: o.StateDir, RunDir: o.RunDir}).Record(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{node.BootstrapPath, "/etc/drover/.bootstrap.json.123" /* of a write that was cut short */, "/var/log/pods/theirs"} {
		put(t, o.Root+path, "")
	}
	for _, dir := range []string{"/etc/systemd/networkd.conf.d", "/etc/cni/net.d"} {
		if err := os.MkdirAll(o.Root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, o.Root+"/proc/sys/net/ipv4/ip_forward", "1\n")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/drover", "/etc/systemd/networkd.conf.d"} {
		if exists(o.Root + path) {
			t.Errorf("%s is left; it said:\n%s", path, out)
		}
	}
	for _, path := range []string{"/var/log/pods/theirs", "/etc/cni/net.d"} {
		if !exists(o.Root + path) {
			t.Errorf("%s is gone, which no component of the agent's can have made; it said:\n%s", path, out)
		}
	}
	if data, err := os.ReadFile(o.Root + "/proc/sys/net/ipv4/ip_forward"); err != nil || string(data) != "0" {
		t.Errorf("ip_forward is %q, %v; want what it was", data, err)
	}
}

func TestResetKeepsTheStaticPodsOfOthersAndSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		manifest bool
	}{
		"somebody put one there": {true},
		"there is none":          {false},
	} {
		t.Run(name, func(t *testing.T) {
			o, out := machine(t)
			if err := (baseline.Recorder{Root: o.Root, StateDir: o.StateDir, RunDir: o.RunDir}).Record(); err != nil {
				t.Fatal(err)
			}
			put(t, o.Root+node.BootstrapPath, "")
			dir := o.Root + node.StaticPodDir
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if c.manifest {
				put(t, dir+"/web.yaml", "kind: Pod")
			}
			if err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if exists(dir+"/web.yaml") != c.manifest || exists(dir) != c.manifest {
				t.Errorf("the manifest is there: %t, its directory: %t; it said:\n%s", exists(dir+"/web.yaml"), exists(dir), out)
			}
			if told := strings.Contains(out.String(), "Kept static pods") && strings.Contains(out.String(), dir+"/web.yaml"); told != c.manifest {
				t.Errorf("it said:\n%s", out)
			}
			if left, err := Left(o); err != nil || len(left) > 0 {
				t.Errorf("left is %v, %v: static pods are nothing of Drover's", left, err)
			}
		})
	}
}

func TestABootstrapDocumentThatIsLeftIsSeenWithoutABaseline(t *testing.T) {
	o, _ := unclaimed(t)
	put(t, o.Root+node.BootstrapPath, "")
	for _, dir := range []string{o.StateDir, o.RunDir, o.Paths.ConfigDir, o.Paths.LogDir} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := Left(o); err != nil || !slices.Equal(left, []string{o.Root + node.BootstrapPath}) {
		t.Errorf("%v are left, %v; want the document", left, err)
	}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if left, err := Left(o); err != nil || len(left) > 0 {
		t.Errorf("after a reset %v are left, %v", left, err)
	}
}

func TestResetSaysWhatIsLeft(t *testing.T) {
	o, _ := machine(t)
	left, err := Left(o)
	if err != nil || !slices.Contains(left, o.StateDir) || !slices.Contains(left, o.Paths.KubeletDir) {
		t.Errorf("before a reset %v are left, %v", left, err)
	}
	put(t, o.Root+"/etc/systemd/system/drover.slice/x", "") // a directory, which nobody expects there
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "left on this machine: "+o.Root+"/etc/systemd/system/drover.slice") {
		t.Errorf("got %v, want what is left", err)
	}
	if err := os.RemoveAll(o.Root); err != nil {
		t.Fatal(err)
	}
	if left, err := Left(o); err != nil || len(left) > 0 {
		t.Errorf("after it %v are left, %v", left, err)
	}
}

func TestATreeIsNotRemovedAcrossAMount(t *testing.T) {
	machine(t) // which needs root
	dir := t.TempDir() + "/tree"
	mounted(t, dir+"/a/volume")
	put(t, dir+"/a/volume/theirs", "")
	put(t, dir+"/b/ours", "")
	if err := os.Symlink(dir+"/a/volume", dir+"/b/link"); err != nil {
		t.Fatal(err)
	}
	if err := removeAll(dir); err == nil || !strings.Contains(err.Error(), dir+"/a/volume was left") {
		t.Errorf("got %v, want the mount point", err)
	}
	if !exists(dir+"/a/volume/theirs") || exists(dir+"/b") {
		t.Error("what is mounted must stay, and what is not must go")
	}
}

// What the agent set is what it was before, unless somebody else has set it since: then it is theirs.
func TestResetGivesBackTheParametersThatTheAgentSet(t *testing.T) {
	o, out := machine(t)
	parameters := map[string]string{"net/ipv4/ip_forward": "0", "net/core/somaxconn": "4096", "net/ipv4/tcp_syncookies": "1"}
	for name, value := range parameters {
		put(t, filepath.Join(o.Root, "/proc/sys", name), value+"\n")
	}
	if err := (baseline.Recorder{Root: o.Root, StateDir: o.StateDir, RunDir: o.RunDir}).Record(); err != nil {
		t.Fatal(err)
	}
	k := &kernel.Kernel{Host: &host.System{Root: o.Root}, RunDir: o.RunDir}
	if found := k.ApplySysctls(map[string]v1alpha1.SysctlValue{"net.core.somaxconn": "8192", "net.ipv4.tcp_syncookies": "0"}, false); len(found) > 0 {
		t.Fatal(found)
	}
	put(t, o.Root+"/proc/sys/net/ipv4/tcp_syncookies", "2\n")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	parameters["net/ipv4/tcp_syncookies"] = "2"
	for name, want := range parameters {
		data, err := os.ReadFile(filepath.Join(o.Root, "/proc/sys", name))
		if got := strings.TrimSpace(string(data)); got != want || err != nil {
			t.Errorf("%s is %s, want %s: %v", name, got, want, err)
		}
	}
	if !strings.Contains(out.String(), "Left net.ipv4.tcp_syncookies at 2") {
		t.Errorf("it does not say what it left:\n%s", out)
	}
}
