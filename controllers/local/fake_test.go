package local

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// fakeHost has machines that are entries in a map.
type fakeHost struct {
	mu      sync.Mutex
	next    int
	running map[Process]chan struct{}
	launch  map[Process]Launch
	links   map[string]Link
	cgroups map[string]bool
	inside  map[string]string

	noBridge error
	noStart  error
	noLook   error
}

var _ Host = &fakeHost{}

func newFakeHost() *fakeHost {
	return &fakeHost{next: 100, running: map[Process]chan struct{}{}, launch: map[Process]Launch{}, links: map[string]Link{}, cgroups: map[string]bool{}, inside: map[string]string{}}
}

func (h *fakeHost) Facts(string) (Facts, error) {
	return Facts{BootID: "host", CgroupVersion: 1, ResolvConf: "nameserver 192.0.2.1\n", Hierarchies: []Hierarchy{{Mount: "/sys/fs/cgroup/memory", Controllers: []string{"memory"}}}}, nil
}

func (h *fakeHost) Bridge(name string) (Bridge, error) {
	return Bridge{Name: name, Address: netip.MustParsePrefix("10.88.0.1/24")}, h.noBridge
}

func (h *fakeHost) MakeCgroups(c Cgroups) error {
	for _, dir := range c.Make {
		h.cgroups[dir.Path] = true
	}
	return nil
}

func (h *fakeHost) RemoveCgroups(_ context.Context, c Cgroups) error {
	for _, dir := range c.Remove {
		delete(h.cgroups, dir)
		delete(h.cgroups, dir+"/"+systemCgroup)
	}
	return nil
}

type fakeWaiting struct {
	host    *fakeHost
	process Process
}

func (w fakeWaiting) Process() Process { return w.process }

func (w fakeWaiting) Abort() { w.host.end(w.process) }

func (w fakeWaiting) Go(context.Context, time.Duration) error {
	if w.host.noStart != nil {
		w.Abort()
	}
	return w.host.noStart
}

func (h *fakeHost) Launch(l Launch) (Waiting, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	p := Process{PID: h.next, StartTime: uint64(h.next), HostBootID: "host"}
	h.running[p], h.launch[p] = make(chan struct{}), l
	return fakeWaiting{h, p}, nil
}

// processes are the first processes of the machines that run.
func (h *fakeHost) processes() map[Process]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	running := map[Process]bool{}
	for p := range h.running {
		running[p] = true
	}
	return running
}

func (h *fakeHost) end(p Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if gone, ok := h.running[p]; ok {
		close(gone)
		delete(h.running, p)
	}
}

func (h *fakeHost) AttachLink(l Link, _ Process) error {
	if _, taken := h.links[l.HostName]; taken {
		return fmt.Errorf("link %s is there", l.HostName)
	}
	h.links[l.HostName] = l
	return nil
}

func (h *fakeHost) RemoveLink(name string) error { delete(h.links, name); return nil }

func (h *fakeHost) Alive(p Process) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.running[p]
	return ok && h.noLook == nil, h.noLook
}

func (h *fakeHost) Watch(ctx context.Context, p Process) (<-chan struct{}, error) {
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

func (h *fakeHost) Signal(p Process, _ syscall.Signal) error { h.end(p); return nil }

func (h *fakeHost) ReadInside(_ Process, name string) ([]byte, error) {
	if text, ok := h.inside[name]; ok {
		return []byte(text), nil
	}
	return nil, os.ErrNotExist
}

func (h *fakeHost) RemoveTree(dir string) error { return os.RemoveAll(dir) }
