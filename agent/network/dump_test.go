package network

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// restless gives a link of the namespace more addresses than one part of a dump holds, and takes one away and puts it
// back from time to time until the test ends.
func restless(t *testing.T) {
	t.Helper()
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	address := func(i int) *netlink.Addr {
		return &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 98, byte(i>>8), byte(i)), Mask: net.CIDRMask(32, 32)}}
	}
	for i := range 500 {
		if err := netlink.AddrAdd(link, address(i)); err != nil {
			t.Fatal(err)
		}
	}
	inside, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	handle, err := netlink.NewHandleAt(inside)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer handle.Close()
		pause := time.NewTicker(10 * time.Millisecond)
		defer pause.Stop()
		for {
			select {
			case <-stop:
				return
			case <-pause.C:
				_ = handle.AddrDel(link, address(499))
				_ = handle.AddrAdd(link, address(499))
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; _ = inside.Close() })
}

func TestPodsThatComeAndGoAreNoFailure(t *testing.T) {
	inNamespace(t)
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Bridge}}); err != nil {
		t.Fatal(err)
	}
	if err := NewKernel().AddBridgeAddress(p("10.244.0.1/24")); err != nil {
		t.Fatal(err)
	}
	restless(t)
	failed := map[string]int{}
	for range 300 {
		if found, err := NewKernel().BridgeAddresses(); err != nil || len(found) != 1 {
			failed[fmt.Sprint(found, err)]++
		}
	}
	if len(failed) > 0 {
		t.Errorf("the bridge's addresses were read 300 times, with these failures: %v", failed)
	}
}
