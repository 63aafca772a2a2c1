// Package netevents tells that the kernel's network was changed: its links, addresses, routes and forwarding, or nftables' rules.
//
// What was changed is not told. Who is told looks for himself, so that nothing is lost where the kernel made more changes than
// anybody could read.
package netevents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Source is a part of the kernel that tells of changes, with the groups that tell of them; see rtnetlink(7).
type Source struct {
	name     string
	protocol int
	groups   []uint
}

var (
	// Links tells of links, their addresses, routes and whether packets are forwarded between them.
	Links = Source{"rtnetlink", unix.NETLINK_ROUTE, []uint{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
	}}
	// Rules tells of nftables' rules, which those of iptables are as well where it is the one that writes nftables.
	Rules = Source{"nftables", unix.NETLINK_NETFILTER, []uint{unix.NFNLGRP_NFTABLES}}
)

const (
	// pause is between a change and the next that is told: changes come in swarms, of which most are dropped unread.
	pause = 100 * time.Millisecond
	// backlog is the size of a socket's buffer, the kernel's least, in bytes.
	backlog = 2048
)

// Subscribe returns a channel that gets a value after changes in the network namespace of the calling thread, until the
// context ends; many changes may be one value.
func Subscribe(ctx context.Context, sources ...Source) (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	var sockets []*os.File
	for _, source := range sources {
		socket, err := source.open()
		if err != nil {
			for _, s := range sockets {
				_ = s.Close()
			}
			return nil, fmt.Errorf("listen to the kernel's %s: %w", source.name, err)
		}
		sockets = append(sockets, socket)
	}
	for _, socket := range sockets {
		context.AfterFunc(ctx, func() { _ = socket.Close() })
		go tell(ctx, socket, changed)
	}
	return changed, nil
}

func (s Source) open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, s.protocol)
	if err != nil {
		return nil, err
	}
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, group := range s.groups {
		address.Groups |= 1 << (group - 1)
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, backlog), unix.Bind(fd, address)); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), s.name), nil
}

// tell reads until the socket is closed. That the buffer was too small for all changes is told as one.
func tell(ctx context.Context, socket *os.File, changed chan<- struct{}) {
	message := make([]byte, 16)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if _, err := socket.Read(message); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		select {
		case changed <- struct{}{}:
		default: // there is one to read already
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}
