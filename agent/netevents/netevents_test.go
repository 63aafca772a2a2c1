package netevents

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/test/netspace"
)

func hear(t *testing.T, events <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-events:
	case <-time.After(10 * time.Second):
		t.Fatalf("nobody told of %s", what)
	}
}

func ruleset(t *testing.T, do func(*nftables.Conn)) {
	t.Helper()
	conn, err := nftables.New()
	if err == nil {
		do(conn)
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachKindOfChangeIsTold(t *testing.T) {
	netspace.Enter(t)
	links, err := Subscribe(t.Context(), Links)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := Subscribe(t.Context(), Rules)
	if err != nil {
		t.Fatal(err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0"}}
	address, err := netlink.ParseAddr("10.244.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	forwarding := func(value string) error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte(value), 0o644) }
	if err := forwarding("1"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"a new link", func() error { return netlink.LinkAdd(bridge) }},
		{"its state", func() error { return netlink.LinkSetUp(bridge) }},
		{"its address", func() error { return netlink.AddrAdd(bridge, address) }},
		{"forwarding", func() error { return forwarding("0") }},
		{"a link that goes", func() error { return netlink.LinkDel(bridge) }},
	} {
		settle(links)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		hear(t, links, step.what)
	}
	ruleset(t, func(c *nftables.Conn) { c.AddTable(&nftables.Table{Name: "x", Family: nftables.TableFamilyIPv4}) })
	hear(t, rules, "a table")
	settle(rules)
	ruleset(t, func(c *nftables.Conn) { c.FlushRuleset() })
	hear(t, rules, "a flush")
}

// settle waits until nothing was told for a while.
func settle(events <-chan struct{}) {
	for {
		select {
		case <-events:
		case <-time.After(3 * pause):
			return
		}
	}
}

func TestMoreChangesThanAnybodyReadsAreToldAndReadOn(t *testing.T) {
	netspace.Enter(t)
	events, err := Subscribe(t.Context(), Rules)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		ruleset(t, func(c *nftables.Conn) {
			for j := range 50 {
				c.AddTable(&nftables.Table{Name: fmt.Sprintf("table-with-a-long-name-%d-%d", i, j), Family: nftables.TableFamilyIPv4})
			}
		})
	}
	hear(t, events, "many tables")
	settle(events)
	ruleset(t, func(c *nftables.Conn) { c.FlushRuleset() })
	hear(t, events, "the next change")
}

func TestItEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	before := runtime.NumGoroutine()
	if _, err := Subscribe(ctx, Links, Rules); err != nil {
		t.Fatal(err)
	}
	cancel()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
		}
	}
}
