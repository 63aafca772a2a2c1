package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Config is what a Manager works from.
type Config struct {
	// Node is the node's name.
	Node string
	// Settings are the template's.
	Settings v1alpha1.NetworkSettings
	// PodCIDRs are the ranges of the whole cluster's pods.
	PodCIDRs []netip.Prefix
	// MTU is that of the node's own interface, for pods of a template that sets none.
	MTU int
}

// Manager keeps the pod network as the Nodes have it.
type Manager struct {
	// StateDir keeps the node's own ranges over restarts.
	StateDir string
	// CNIDir is where containerd reads its CNI configuration.
	CNIDir string
	// LeaseDir is where the CNI plugins keep the addresses of pods. Default: the one of the CNI configuration.
	LeaseDir string
	Kernel   Kernel
	Log      logr.Logger
	// Changed is called after each change of what Health and Status say.
	Changed func()

	once    sync.Once
	trigger chan struct{}

	mu       sync.Mutex
	config   Config
	own      []netip.Prefix
	nodes    []Node
	synced   bool
	done     applied
	ready    bool
	startErr error
	started  time.Time
}

// applied is what a run made of the machine.
type applied struct {
	// own are the ranges that it made the CNI configuration for, and former those that pods have addresses of beside.
	own, former []netip.Prefix
	routes      []Route
}

func (m *Manager) wake() chan struct{} {
	m.once.Do(func() { m.trigger = make(chan struct{}, 1) })
	return m.trigger
}

func (m *Manager) kick() {
	select {
	case m.wake() <- struct{}{}:
	default: // a run is due already
	}
}

// Configure sets what to work from. The first time it takes the node's own ranges from the disk.
func (m *Manager) Configure(c Config) {
	m.mu.Lock()
	m.config = c
	if m.own == nil {
		m.own = CachedPodCIDRs(m.StateDir, c.Node)
	}
	m.mu.Unlock()
	m.kick()
}

// SetNodes tells the manager all Nodes there are, sorted by name. It never blocks, and does nothing when it knew.
func (m *Manager) SetNodes(nodes []Node) {
	m.mu.Lock()
	if m.synced && reflect.DeepEqual(m.nodes, nodes) {
		m.mu.Unlock()
		return
	}
	m.nodes, m.synced = nodes, true
	for _, n := range nodes {
		if n.Name == m.config.Node && len(n.PodCIDRs) > 0 {
			m.own = n.PodCIDRs
		}
	}
	m.mu.Unlock()
	m.kick()
}

// retryInterval is the wait after a run that failed, verifyInterval the one after a good run: someone else may have
// taken a route away.
const (
	retryInterval  = time.Second
	verifyInterval = 30 * time.Second
)

// Run applies every change until the context ends. What it made stays.
func (m *Manager) Run(ctx context.Context) {
	timer := time.NewTimer(verifyInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake():
		case <-timer.C:
		}
		next := verifyInterval
		if err := m.Apply(); err != nil {
			m.Log.Error(err, "Failed to set up the pod network")
			next = retryInterval
		}
		timer.Reset(next)
	}
}

// Apply makes the machine as the Nodes have it, once.
func (m *Manager) Apply() error {
	m.mu.Lock()
	config, own, nodes, synced := m.config, m.own, m.nodes, m.synced
	m.mu.Unlock()
	if config.Node == "" {
		return nil
	}
	var err error
	var did applied
	if config.Settings.Mode == v1alpha1.NetworkModeExternal {
		err = m.Remove()
	} else if len(own) > 0 {
		did, err = m.apply(config, own, nodes, synced)
		did.own = own
	}
	m.mu.Lock()
	before := fmt.Sprint(m.ready, m.startErr, m.done.own, m.done.former)
	m.done, m.startErr, m.ready = did, err, err == nil && len(own) > 0
	if m.ready && m.started.IsZero() {
		m.started = time.Now()
	}
	changed := before != fmt.Sprint(m.ready, m.startErr, m.done.own, m.done.former)
	m.mu.Unlock()
	if changed && m.Changed != nil {
		m.Changed()
	}
	return err
}

// apply starts with what the CNI plugins need, because the kubelet waits for it. The bridge comes before the
// configuration, with which no pod could be attached to it otherwise.
func (m *Manager) apply(config Config, own []netip.Prefix, nodes []Node, synced bool) (applied, error) {
	mtu := config.MTU
	if config.Settings.MTU != nil {
		mtu = int(*config.Settings.MTU)
	}
	former, err := m.readdress(config, own, nodes)
	if err != nil {
		return applied{}, err
	}
	did := applied{former: former}
	errs := []error{
		writeConflist(m.CNIDir, own, mtu),
		storePodCIDRs(m.StateDir, config.Node, own),
		m.Kernel.Masquerade(own, former, slices.Concat(config.PodCIDRs, own)),
	}
	if synced { // else nothing is known of the other nodes: the routes of the last run are the best there is
		did.routes = Routes(config.Node, own, nodes)
		errs = append(errs, m.syncRoutes(did.routes))
	}
	return did, errors.Join(errs...)
}

func (m *Manager) syncRoutes(want []Route) error {
	have, err := m.Kernel.Routes()
	if err != nil {
		return err
	}
	add, remove := diffRoutes(have, want)
	var errs []error
	for _, r := range remove {
		errs = append(errs, m.Kernel.RemoveRoute(r))
	}
	for _, r := range add {
		errs = append(errs, m.Kernel.AddRoute(r))
	}
	return errors.Join(errs...)
}

// Remove takes back everything the manager made, but for the bridge that pods are attached to.
func (m *Manager) Remove() error {
	return errors.Join(removeConflist(m.CNIDir), m.syncRoutes(nil), m.Kernel.Masquerade(nil, nil, nil))
}
