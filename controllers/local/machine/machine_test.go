package machine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/node"
)

const (
	testBridge  = "drv-test0"
	testGateway = "10.88.77.1/24"
	testCgroup  = "drover-test-local"
)

// world is what tests of real machines share: a bridge, an agent and a root of their own.
type world struct {
	*Machines
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("real machines need root: run the tests as root")
	}
	root := filepath.Join(diskDir(t), "machines")
	makeBridge(t)
	w := &world{t: t, Machines: &Machines{Root: root, AgentBinary: buildAgent(t), SharedBundles: filepath.Join(filepath.Dir(root), "bundles"),
		CgroupParent: testCgroup, Host: LinuxHost{}, Log: testr.New(t)}}
	t.Cleanup(func() {
		keys, err := w.List()
		if err != nil {
			t.Error(err)
		}
		for _, key := range keys {
			if err := w.Remove(context.Background(), key); err != nil {
				t.Errorf("clean up %s: %v", key, err)
			}
		}
	})
	return w
}

// diskDir is a directory that machines do not have hidden already, as /tmp is.
func diskDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/srv", fmt.Sprintf("%s%d-", diskPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func makeBridge(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = testBridge
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatalf("make the bridge %s (is another test running?): %v", testBridge, err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(bridge); err != nil {
			t.Error(err)
		}
	})
	address, err := netlink.ParseAddr(testGateway)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(bridge, address); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
}

func buildAgent(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "agent")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./testdata/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the test's agent: %v\n%s", err, out)
	}
	return binary
}

func testWanted(name string) Wanted {
	return Wanted{Key: types.NamespacedName{Namespace: "default", Name: name}, UID: "uid-" + name, Bridge: testBridge, Bootstrap: []byte(`{"nodeName":"` + name + `"}`)}
}

func (w *world) ensure(want Wanted) State {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	state, err := w.Ensure(ctx, want)
	if err != nil {
		console, _ := os.ReadFile(w.layout(want.Key).console())
		w.t.Fatalf("ensure %s: %v\n%s", want.Key, err, console)
	}
	if !state.Running {
		w.t.Fatalf("ensure %s: it does not run: %+v", want.Key, state)
	}
	return state
}

// ask puts a question to the machine's agent, over the bridge, until it answers.
func ask(t *testing.T, state State, path string, args ...string) string {
	t.Helper()
	query := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		query.Set(args[i], args[i+1])
	}
	var last error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		response, err := get(state, path+"?"+query.Encode())
		if last = err; err != nil {
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %v: %s %v", path, args, body, err)
		}
		return string(body)
	}
	t.Fatalf("%s %v: no answer: %v", path, args, last)
	return ""
}

// get asks once.
func get(state State, pathAndQuery string) (*http.Response, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return client.Get(fmt.Sprintf("http://%s:7777%s", state.Address, pathAndQuery))
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// nothingLeft fails the test if anything of the machine is on the host.
func (w *world) nothingLeft(key types.NamespacedName, p Process) {
	w.t.Helper()
	l := w.layout(key)
	if alive, err := (LinuxHost{}).Alive(p); err != nil || alive {
		w.t.Errorf("process %d still runs (%v)", p.PID, err)
	}
	if _, err := os.Lstat(l.dir()); !os.IsNotExist(err) {
		w.t.Errorf("directory %s is still there (%v)", l.dir(), err)
	}
	if _, err := netlink.LinkByName(l.linkName()); err == nil {
		w.t.Errorf("link %s is still there", l.linkName())
	}
	for _, hierarchies := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} { // of version 1, and 2 alone
		if left, _ := filepath.Glob(hierarchies + testCgroup + "/" + key.Name); len(left) > 0 {
			w.t.Errorf("cgroups are still there: %v", left)
		}
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(w.Root))
	if err != nil || len(mounts) > 0 {
		w.t.Errorf("mounts are still there: %v %v", mounts, err)
	}
}

func TestMachine(t *testing.T) {
	w := newWorld(t)
	want := testWanted("one")
	want.Limits = Limits{CPUs: 1, MemoryBytes: 512 << 20}
	hostMounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	state := w.ensure(want)
	t.Logf("Made a machine in %s", time.Since(began))
	read := func(path string) string { return strings.TrimSpace(ask(t, state, "/read", "path", path)) }

	if state.Address != netip.MustParseAddr("10.88.77.10") {
		t.Errorf("address %s, want the tenth of the subnet", state.Address)
	}
	for path, content := range map[string]string{
		"/proc/sys/kernel/hostname":     "one",
		"/etc/hostname":                 "one",
		node.BootstrapPath:              `{"nodeName":"one"}`,
		node.BootIDPath:                 state.BootID,
		"/proc/1/comm":                  "agent",
		"/proc/sys/net/ipv4/ip_forward": "1",
	} {
		if got := read(path); got != content {
			t.Errorf("%s is %q, want %q", path, got, content)
		}
	}
	for _, namespace := range []string{"mnt", "pid", "uts", "ipc", "net"} {
		inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", state.Process.PID, namespace))
		outside, _ := os.Readlink("/proc/self/ns/" + namespace)
		if err != nil || inside == outside {
			t.Errorf("namespace %s is the host's (%s, %v)", namespace, inside, err)
		}
	}
	if got := ask(t, state, "/list", "path", filepath.Dir(w.Root)); got != "" {
		t.Errorf("the machine sees its host's state: %s", got)
	}
	if got := ask(t, state, "/list", "path", "/var/lib"); got != "drover" {
		t.Errorf("/var/lib has %q, want drover only", got)
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "kmsg", "pts", "shm"} {
		if !strings.Contains(" "+ask(t, state, "/list", "path", "/dev")+" ", " "+device+" ") {
			t.Errorf("/dev has no %s", device)
		}
	}
	info, err := os.Stat(filepath.Join(w.layout(want.Key).etcDrover(), "bootstrap.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the bootstrap document has mode %v, want 0600 (%v)", info.Mode(), err)
	}
	cgroup := "/" + testCgroup + "/one/system"
	if facts, err := w.Host.Facts(w.Root); err != nil || facts.CgroupVersion == 2 {
		cgroup = "/system" // of a cgroup namespace
	}
	for line := range strings.Lines(read("/proc/self/cgroup")) {
		if path := strings.TrimSpace(line[strings.LastIndex(line, ":")+1:]); path != cgroup {
			t.Errorf("the agent is in the cgroup %s", line)
		}
	}
	ask(t, state, "/unmount", "path", "/sys/fs/cgroup")
	ask(t, state, "/unmount", "path", "/dev/shm")
	if now, _ := os.ReadFile("/proc/self/mountinfo"); string(now) != string(hostMounts) {
		t.Errorf("the host's mounts changed:\n%s\nfrom\n%s", now, hostMounts)
	}

	began = time.Now()
	if err := w.Remove(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	t.Logf("Removed it in %s", time.Since(began))
	w.nothingLeft(want.Key, state.Process)
}

func TestMachineMemoryLimit(t *testing.T) {
	w := newWorld(t)
	want := testWanted("small")
	want.Limits = Limits{MemoryBytes: 64 << 20}
	state := w.ensure(want)
	ask(t, state, "/read", "path", "/etc/hostname")
	if response, err := get(state, "/eat?mb=200"); err == nil {
		_ = response.Body.Close()
		t.Fatalf("the machine had 200 MB of its 64: %s", response.Status)
	}
	if got := strings.TrimSpace(ask(t, state, "/read", "path", node.BootIDPath)); got != state.BootID {
		t.Errorf("boot ID %s, want %s: the agent starts again, the machine goes on", got, state.BootID)
	}
}

func TestMachineOutlivesItsManagerAndReboots(t *testing.T) {
	w := newWorld(t)
	want := testWanted("two")
	state := w.ensure(want)
	ask(t, state, "/write", "path", "/var/lib/kept", "data", "here")
	ask(t, state, "/write", "path", "/root/kept", "data", "too")

	next := &Machines{Root: w.Root, AgentBinary: w.AgentBinary, SharedBundles: w.SharedBundles, CgroupParent: testCgroup, Host: LinuxHost{}, Log: w.Log}
	adopted, err := next.Ensure(context.Background(), want)
	if err != nil || adopted.Process != state.Process || adopted.BootID != state.BootID || adopted.Address != state.Address {
		t.Fatalf("the next manager has %+v (%v), want %+v", adopted, err, state)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone, err := (LinuxHost{}).Watch(ctx, state.Process)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(state.Process.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody said that the machine ended")
	}
	rebooted := w.ensure(want)
	if rebooted.BootID == state.BootID || rebooted.Process == state.Process || rebooted.Address != state.Address || rebooted.Boots != 2 {
		t.Fatalf("after kill -9: %+v, want another boot of %+v", rebooted, state)
	}
	for path, content := range map[string]string{"/var/lib/kept": "here", "/root/kept": "too", node.BootIDPath: rebooted.BootID + "\n"} {
		if got := ask(t, rebooted, "/read", "path", path); got != content {
			t.Errorf("%s is %q after the reboot, want %q", path, got, content)
		}
	}
	if err := w.Reboot(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	if again := w.ensure(want); again.Boots != 3 || again.BootID == rebooted.BootID {
		t.Errorf("after Reboot: %+v", again)
	}
}

func TestMachineCannotLeadItsHostAstray(t *testing.T) {
	w := newWorld(t)
	want := testWanted("evil")
	state := w.ensure(want)
	victim := filepath.Join(diskDir(t), "victim")
	if err := os.MkdirAll(victim, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/hostname", "/etc/resolv.conf", "/usr/local/bin", "/var/log"} {
		ask(t, state, "/link", "path", path, "to", victim)
	}
	ask(t, state, "/link", "path", node.BootReportPath, "to", "/etc/shadow")
	if data, err := (LinuxHost{}).ReadInside(state.Process, "/proc/1/environ"); err == nil && len(data) > 0 {
		t.Errorf("read %q through /proc", data)
	}
	if err := syscall.Kill(state.Process.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the machine ended", func() bool {
		alive, err := (LinuxHost{}).Alive(state.Process)
		return err == nil && !alive
	})
	rebooted := w.ensure(want)
	if entries, err := os.ReadDir(victim); err != nil || len(entries) != 0 {
		t.Errorf("the machine's links reached its host: %v %v", entries, err)
	}
	if err := w.Remove(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("removing the machine followed its links: %v", err)
	}
	w.nothingLeft(want.Key, rebooted.Process)
}
