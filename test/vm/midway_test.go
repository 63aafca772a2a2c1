package vm

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/vm/machine"
)

// TestAServerIsCutOffInMidInstall halts the machine while the agent is copied to it, and has it lose its power while the
// agent installs the node. It boots with what is on its disk, becomes a node all the same, and is given back.
func TestAServerIsCutOffInMidInstall(t *testing.T) {
	boot, err := debian.bootID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	applySample(t, 0)
	awaitKubectl(t, time.Minute, "Available", hostReady...)

	fast := slow(t)
	mustKubectl(t, "scale", "nodepool", "servers", "--replicas=1")
	debian.awaitAnswer(t, "ls -A /var/lib/drover-host/ 2>/dev/null || true", ".drover-agent.drover.")
	debian.monitor(t, "stop")
	awaitKubectl(t, 3*time.Minute, "Timeout", "get", "hostmachines", "--output", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].reason}`)
	debian.monitor(t, "cont")
	fast()

	debian.awaitAnswer(t, "systemctl show --property=ActiveState drover-agent", "ActiveState=active")
	debian.run(t, "echo kept > /root/kept && sync")
	debian.monitor(t, "system_reset")
	debian.awaitBoot(t, boot)
	if got := debian.run(t, "cat /root/kept && rm /root/kept"); got != "kept" {
		t.Errorf("The file on the disk holds %q after the reset", got)
	}
	awaitPool(t)
	mustKubectl(t, "delete", "nodepool", "servers", "--wait=false")
	awaitKubectl(t, 5*time.Minute, "Available", hostReady...)
	debian.isStock(t)
}

// slow lets no more than a megabyte a second through to the machine, until the function that it returns is called.
func slow(t *testing.T) (fast func()) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	taps := slices.DeleteFunc(links, func(l net.Interface) bool { return !machine.IsTap(l.Name) })
	if len(taps) != 1 {
		t.Fatalf("the links of machines are %v, want one", taps)
	}
	queue := func(args ...string) {
		args = append([]string{"qdisc", args[0], "dev", taps[0].Name, "root"}, args[1:]...)
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "tc", args...).CombinedOutput(); err != nil {
			t.Errorf("tc %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	queue("add", "tbf", "rate", "8mbit", "burst", "64kb", "latency", "200ms")
	fast = sync.OnceFunc(func() { queue("delete") })
	t.Cleanup(fast)
	return fast
}
