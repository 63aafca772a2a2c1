package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/go-logr/logr"
)

// Follower keeps routes to the pods of all Nodes on a machine that is none, such as an API server's. It makes nothing else:
// no CNI configuration and no rules.
type Follower struct {
	// PodCIDRs are the ranges of the cluster's pods. Without any, every range is routed that is not refused.
	PodCIDRs []netip.Prefix
	// Reserved are ranges that no Node's range may overlap: Services'. SetNodes brings the API server's addresses.
	Reserved []netip.Prefix
	Kernel   RouteTable
	Log      logr.Logger

	once    sync.Once
	trigger chan struct{}

	mu          sync.Mutex
	nodes       []Node
	servers     []netip.Prefix
	synced      bool
	applied     bool
	failure     error
	unreachable []Route
	refused     []Refusal
}

func (f *Follower) wake() chan struct{} {
	f.once.Do(func() { f.trigger = make(chan struct{}, 1) })
	return f.trigger
}

// SetNodes tells all Nodes there are, and the addresses of the API server that has them, which no Node's range may hold. It
// never blocks.
func (f *Follower) SetNodes(nodes []Node, servers ...netip.Prefix) {
	f.mu.Lock()
	f.nodes, f.servers, f.synced = nodes, servers, true
	f.mu.Unlock()
	select {
	case f.wake() <- struct{}{}:
	default: // a run is due already
	}
}

// Run follows the Nodes until the context ends, and then removes the routes: nothing keeps them true any more, and on this
// machine no pod depends on them.
func (f *Follower) Run(ctx context.Context) error {
	keep(ctx, f.wake(), nil, f.apply, func(err error) { f.Log.Error(err, "Failed to make the routes to the pods") })
	if _, _, err := syncRoutes(f.Kernel, nil); err != nil {
		return fmt.Errorf("remove the routes to the pods: %w", err)
	}
	return nil
}

// Ready is nil once the routes are as the Nodes have them, but for those that Unrouted names: by what one Node says nobody
// becomes unready.
func (f *Follower) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure == nil && !f.applied {
		return errors.New("the Nodes are not known yet")
	}
	return f.failure
}

// Unrouted are the Nodes to whose pods there is no route, each with its range and why.
func (f *Follower) Unrouted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var unrouted []string
	for _, r := range f.unreachable {
		unrouted = append(unrouted, fmt.Sprintf("%s (%s: its address is on no link of this machine)", owner(f.nodes, r), r))
	}
	for _, r := range f.refused {
		unrouted = append(unrouted, r.String())
	}
	return unrouted
}

// apply makes the routes as the Nodes have them, once. Before they are known, the routes of an earlier run are the best
// there is.
func (f *Follower) apply() (trouble string, err error) {
	f.mu.Lock()
	nodes, synced := f.nodes, f.synced
	bounds := Bounds{Pods: f.PodCIDRs, Reserved: slices.Concat(f.Reserved, f.servers)}
	f.mu.Unlock()
	if !synced {
		return "", nil
	}
	unreachable, refused, err := f.route(nodes, bounds)
	f.mu.Lock()
	before, refusedBefore := f.unreachable, f.refused
	f.applied, f.failure = true, err
	if err == nil {
		f.unreachable, f.refused = unreachable, refused
	}
	f.mu.Unlock()
	if err == nil && !slices.Equal(before, unreachable) {
		f.Log.Info("Found nodes to be reachable or not", "unreachable", unreachable, "before", before)
	}
	if err == nil && !slices.Equal(refusedBefore, refused) {
		f.Log.Info("Refused to route ranges of nodes, or does no more", "refused", refused, "before", refusedBefore)
	}
	if err == nil && len(unreachable) == 0 {
		return "", nil
	}
	return fmt.Sprint(err, unreachable), err
}

func (f *Follower) route(nodes []Node, bounds Bounds) (unreachable []Route, refused []Refusal, err error) {
	if bounds.Links, err = f.Kernel.Subnets(); err != nil {
		return nil, nil, err
	}
	want, refused := Routes("", nil, nodes, bounds)
	_, unreachable, err = syncRoutes(f.Kernel, want)
	return unreachable, refused, err
}
