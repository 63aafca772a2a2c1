package preflight_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/preflight"
)

// Each case changes a network of its own, which is gone with the test's thread, and nothing of the host.
func TestSentencesOfARealHost(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T)
		want   string
	}{
		"a port is taken": {
			change: func(t *testing.T) { listen(t, layout.APIServerPort) },
			want:   fmt.Sprintf("TCP port 6443, for kube-apiserver, is in use by preflight.test (process %d): stop that first.", os.Getpid()),
		},
		"a bridge of our name": {
			change: func(t *testing.T) { addBridge(t, "drover0") },
			want:   "A link drover0 exists that no demo made as far as is recorded: `ip link delete drover0` if nothing needs it, then try again.",
		},
		"an address of ours": {
			change: func(t *testing.T) { addAddress(t, "lo", "10.96.0.10/32") },
			want:   "The address range 10.96.0.0/16, which the nodes are to use, clashes with 10.96.0.10/32 of an address of lo: take that away, or run this on another host.",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			runtime.LockOSThread()
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Fatalf("make a network namespace, which takes root: %v", err)
			}
			if before := sentences(t); slices.Contains(before, tc.want) {
				t.Fatalf("before anything was changed: %s", tc.want)
			}
			tc.change(t)
			if after := sentences(t); !slices.Contains(after, tc.want) {
				t.Errorf("the preflight says:\n%s\nwant:\n%s", strings.Join(after, "\n"), tc.want)
			}
		})
	}
}

func sentences(t *testing.T) []string {
	t.Helper()
	host, err := preflight.Gather(layout.Layout{Repository: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return preflight.Check(host)
}

func listen(t *testing.T, port int) {
	t.Helper()
	addAddress(t, "lo", "127.0.0.1/8")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
}

func addBridge(t *testing.T, name string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
}

func addAddress(t *testing.T, name, cidr string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrReplace(link, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
}
