// Package fakehost is a host for tests, whose machines are made of nothing.
package fakehost

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/drover-dev/drover/controllers/local/machine"
)

// Host has machines that are entries in a map.
type Host struct {
	// Launches are all there were, Links and Cgroups those there are.
	Launches map[machine.Process]machine.Launch
	Links    map[string]machine.Link
	Cgroups  map[string]bool
	// Inside are the files of each machine, by name.
	Inside map[string]string
	// NoBridge, NoStart and NoLook are what looking up a bridge, starting a machine and looking at a process fail with.
	NoBridge, NoStart, NoLook error

	mu      sync.Mutex
	next    int
	running map[machine.Process]chan struct{}
}

var _ machine.Host = &Host{}

// New is a host without machines.
func New() *Host {
	return &Host{next: 100, running: map[machine.Process]chan struct{}{}, Launches: map[machine.Process]machine.Launch{}, Links: map[string]machine.Link{},
		Cgroups: map[string]bool{}, Inside: map[string]string{}}
}

// Facts implements machine.Host.
func (h *Host) Facts(string) (machine.Facts, error) {
	return machine.Facts{BootID: "host", CgroupVersion: 1, ResolvConf: "nameserver 192.0.2.1\n", Hierarchies: []machine.Hierarchy{{Mount: "/sys/fs/cgroup/memory", Controllers: []string{"memory"}}}}, nil
}

// Bridge implements machine.Host.
func (h *Host) Bridge(name string) (machine.Bridge, error) {
	return machine.Bridge{Name: name, Address: netip.MustParsePrefix("10.88.0.1/24")}, h.NoBridge
}

// MakeCgroups implements machine.Host.
func (h *Host) MakeCgroups(c machine.Cgroups) error {
	for _, dir := range c.Make {
		h.Cgroups[dir.Path] = true
	}
	return nil
}

// RemoveCgroups implements machine.Host.
func (h *Host) RemoveCgroups(_ context.Context, c machine.Cgroups) error {
	for _, dir := range c.Remove {
		delete(h.Cgroups, dir)
		delete(h.Cgroups, dir+"/system")
	}
	return nil
}

// waiting is a first process before the word to go.
type waiting struct {
	host    *Host
	process machine.Process
}

func (w waiting) Process() machine.Process { return w.process }

func (w waiting) Abort() { w.host.End(w.process) }

func (w waiting) Go(context.Context, time.Duration) error {
	if w.host.NoStart != nil {
		w.Abort()
	}
	return w.host.NoStart
}

// Launch implements machine.Host.
func (h *Host) Launch(l machine.Launch) (machine.Waiting, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	p := machine.Process{PID: h.next, StartTime: uint64(h.next), HostBootID: "host"}
	h.running[p], h.Launches[p] = make(chan struct{}), l
	return waiting{h, p}, nil
}

// Processes are the first processes of the machines that run.
func (h *Host) Processes() map[machine.Process]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	running := map[machine.Process]bool{}
	for p := range h.running {
		running[p] = true
	}
	return running
}

// End is a process's end.
func (h *Host) End(p machine.Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if gone, ok := h.running[p]; ok {
		close(gone)
		delete(h.running, p)
	}
}

// AttachLink implements machine.Host.
func (h *Host) AttachLink(l machine.Link, _ machine.Process) error {
	if _, taken := h.Links[l.HostName]; taken {
		return fmt.Errorf("link %s is there", l.HostName)
	}
	h.Links[l.HostName] = l
	return nil
}

// RemoveLink implements machine.Host.
func (h *Host) RemoveLink(name string) error { delete(h.Links, name); return nil }

// Alive implements machine.Host.
func (h *Host) Alive(p machine.Process) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.running[p]
	return ok && h.NoLook == nil, h.NoLook
}

// Watch implements machine.Host.
func (h *Host) Watch(ctx context.Context, p machine.Process) (<-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end, gone := h.running[p], make(chan struct{})
	if end == nil {
		close(gone)
		return gone, nil
	}
	go func() {
		defer close(gone)
		select {
		case <-end:
		case <-ctx.Done():
		}
	}()
	return gone, nil
}

// Signal implements machine.Host.
func (h *Host) Signal(p machine.Process, _ syscall.Signal) error { h.End(p); return nil }

// ReadInside implements machine.Host.
func (h *Host) ReadInside(_ machine.Process, name string) ([]byte, error) {
	if text, ok := h.Inside[name]; ok {
		return []byte(text), nil
	}
	return nil, os.ErrNotExist
}

// RemoveTree implements machine.Host.
func (h *Host) RemoveTree(dir string) error { return os.RemoveAll(dir) }
