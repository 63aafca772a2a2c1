package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/netspace"
)

const somaxconn = "/proc/sys/net/core/somaxconn"

// owner is a machine whose agent takes down what it sets.
func owner(t *testing.T) *Kernel {
	t.Helper()
	k := machine(t, with(common, map[string]string{"proc/sys/net/core/somaxconn": "4096\n", "proc/sys/vm/swappiness": "60\n"}))
	k.RunDir = t.TempDir()
	return k
}

// again is the next agent on the same machine.
func again(k *Kernel) *Kernel { return &Kernel{Host: k.Host, RunDir: k.RunDir} }

func (k *Kernel) write(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(k.Host.Path(path), []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

func apply(t *testing.T, k *Kernel, user map[string]v1alpha1.SysctlValue) {
	t.Helper()
	if found := k.ApplySysctls(user, false); len(found) > 0 {
		t.Fatal(found)
	}
}

func TestAParameterThatNobodyWantsAnyMoreIsGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		reason  string
		between func(*Kernel) *Kernel
		want    string
	}{
		"by the same agent": {"it was 4096 before", func(k *Kernel) *Kernel { return k }, "4096"},
		"by the next agent": {"what it was is on disk", again, "4096"},
		"set by others since": {"it is theirs now", func(k *Kernel) *Kernel {
			k.write(t, somaxconn, "100\n")
			return k
		}, "100"},
		"after a boot": {"the kernel has its own value again, and no record", func(k *Kernel) *Kernel {
			k.write(t, somaxconn, "1024\n")
			return &Kernel{Host: k.Host, RunDir: t.TempDir()}
		}, "1024"},
	} {
		t.Run(name, func(t *testing.T) {
			k := owner(t)
			apply(t, k, map[string]v1alpha1.SysctlValue{"net.core.somaxconn": "8192"})
			apply(t, k, map[string]v1alpha1.SysctlValue{"net.core.somaxconn": "9000"})
			if got := k.Host.Text(somaxconn); got != "9000" {
				t.Fatalf("it is %s, want what the template says", got)
			}
			k = c.between(k)
			apply(t, k, nil)
			if got := k.Host.Text(somaxconn); got != c.want {
				t.Errorf("%s: it is %s, want %s", c.reason, got, c.want)
			}
			if owned, err := LoadOwned(k.RunDir); err != nil || owned["net/core/somaxconn"] != (Owned{}) {
				t.Errorf("it still counts as set: %v, %v", owned, err)
			}
			if got := k.Host.Text("/proc/sys/net/ipv4/ip_forward"); got != "1" {
				t.Errorf("what every node needs is %s", got)
			}
		})
	}
}

// What a parameter was is on disk before it is changed: an agent that ends in between is followed by one that knows it.
func TestWhatAParameterWasIsTakenDownBeforeItIsChanged(t *testing.T) {
	k := owner(t)
	if err := os.Mkdir(filepath.Join(k.RunDir, OwnedName), 0o755); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	found := k.ApplySysctls(map[string]v1alpha1.SysctlValue{"net.core.somaxconn": "8192"}, false)
	if len(found) != 1 || found[0].Severity != v1alpha1.FindingError {
		t.Errorf("got %v, want that nothing could be set", found)
	}
	if got := k.Host.Text(somaxconn); got != "4096" {
		t.Errorf("it was set to %s, and nobody knows any more what it was", got)
	}
	if err := os.Remove(filepath.Join(k.RunDir, OwnedName)); err != nil {
		t.Fatal(err)
	}
	apply(t, k, map[string]v1alpha1.SysctlValue{"net.core.somaxconn": "8192"})
	owned, err := LoadOwned(k.RunDir)
	if diff := cmp.Diff(Owned{Before: "4096", Asked: "8192", Set: "8192"}, owned["net/core/somaxconn"]); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// An agent that was killed between the record and the write leaves either value, and both are to be given back.
func TestAValueIsTheAgentsFromItsRecordOn(t *testing.T) {
	o := Owned{Before: "1", Asked: "3", Set: "2"}
	for value, ours := range map[string]bool{"2": true, "3": true, "1": false, "4": false} {
		if o.IsOurs(value) != ours {
			t.Errorf("%s is the agent's: %t, want %t", value, !ours, ours)
		}
	}
}

func TestParametersThatOthersChangedAreSeen(t *testing.T) {
	k := owner(t)
	if found := k.DriftedSysctls(); found != nil {
		t.Errorf("nothing was set yet, and %v is told", found)
	}
	k.write(t, "/proc/sys/fs/inotify/max_user_instances", "128\n")
	apply(t, k, map[string]v1alpha1.SysctlValue{"net/core/somaxconn": "8192"})
	if found := k.DriftedSysctls(); len(found) > 0 {
		t.Errorf("nobody changed anything, and %v is told", found)
	}
	k.write(t, somaxconn, "128\n")
	k.write(t, "/proc/sys/fs/inotify/max_user_instances", "9000\n")
	k.write(t, "/proc/sys/vm/swappiness", "1\n")
	want := []Drifted{{Name: "net.core.somaxconn", Want: "8192", Have: "128"}}
	if diff := cmp.Diff(want, k.DriftedSysctls()); diff != "" {
		t.Errorf("more than the least is as good, and what nobody asked for nobody's business (-want +got):\n%s", diff)
	}
	apply(t, k, map[string]v1alpha1.SysctlValue{"net/core/somaxconn": "8192"})
	if found := k.DriftedSysctls(); len(found) > 0 || k.Host.Text("/proc/sys/fs/inotify/max_user_instances") != "9000" {
		t.Errorf("after the repair %v differ, and inotify's instances are %s", found, k.Host.Text("/proc/sys/fs/inotify/max_user_instances"))
	}
	k.write(t, somaxconn, "128\n")
	if err := k.RepairSysctls(); err != nil || k.Host.Text(somaxconn) != "8192" || k.Host.Text("/proc/sys/vm/swappiness") != "1" {
		t.Errorf("it is %s: %v", k.Host.Text(somaxconn), err)
	}
	k.write(t, "/proc/sys/fs/inotify/max_user_instances", "100\n")
	if found := k.DriftedSysctls(); len(found) != 1 {
		t.Errorf("fewer than the least are told as %v", found)
	}
}

// A value that the kernel refuses is a finding, and no parameter of the agent's that others have changed.
func TestAValueThatIsRefusedIsNotTheAgents(t *testing.T) {
	k := owner(t)
	k.write(t, somaxconn, "4096\n")
	if err := errors.Join(os.Remove(k.Host.Path(somaxconn)), os.Mkdir(k.Host.Path(somaxconn), 0o755)); err != nil {
		t.Fatal(err)
	}
	asked := map[string]v1alpha1.SysctlValue{"net.core.somaxconn": "8192"}
	if found := k.ApplySysctls(asked, false); len(found) != 1 {
		t.Errorf("got %v", found)
	}
	if found := k.DriftedSysctls(); len(found) > 0 {
		t.Errorf("got %v", found)
	}
	if found := k.RefusedSysctls(asked, false); len(found) != 1 {
		t.Errorf("where nothing is to be set again, it is forgotten: got %v", found)
	}
	if err := os.Remove(k.Host.Path(somaxconn)); err != nil {
		t.Fatal(err)
	}
	k.write(t, somaxconn, "8192\n")
	if found := k.RefusedSysctls(asked, false); len(found) > 0 {
		t.Errorf("somebody else has set it, and still it is told as %v", found)
	}
}

// The kernel spells some values otherwise than they are written to it, which is no difference.
func TestParametersOfARealKernelAreSetRepairedAndGivenBack(t *testing.T) {
	netspace.Enter(t)
	k := &Kernel{Host: &host.System{}, RunDir: t.TempDir()}
	const ports = "/proc/sys/net/ipv4/ip_local_port_range"
	before := k.Host.Text(ports)
	user := map[string]v1alpha1.SysctlValue{"net.ipv4.ip_local_port_range": "20000 30000"}
	if found := k.ApplySysctls(user, true); len(found) > 0 || sameValue(k.Host.Text(ports), before) {
		t.Fatalf("the range is %q: %v", k.Host.Text(ports), found)
	}
	if found := k.DriftedSysctls(); len(found) > 0 {
		t.Errorf("nobody changed anything, and %v is told", found)
	}
	if err := os.WriteFile(ports, []byte("1024 2048"), 0); err != nil {
		t.Fatal(err)
	}
	if found := k.DriftedSysctls(); len(found) != 1 {
		t.Errorf("what somebody changed is told as %v", found)
	}
	if err := k.RepairSysctls(); err != nil || len(k.DriftedSysctls()) > 0 {
		t.Errorf("after the repair %v differ: %v", k.DriftedSysctls(), err)
	}
	if found := k.ApplySysctls(nil, true); len(found) > 0 || !sameValue(k.Host.Text(ports), before) {
		t.Errorf("the range was %q and is %q: %v", before, k.Host.Text(ports), found)
	}
}
