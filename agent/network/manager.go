package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/netevents"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// Config is what a Manager works from.
type Config struct {
	// Node is the node's name.
	Node string
	// Settings are the template's.
	Settings v1alpha1.NetworkSettings
	// PodCIDRs are the ranges of the whole cluster's pods.
	PodCIDRs []netip.Prefix
	// Reserved are ranges and addresses that no Node's range may overlap: Services' and the API server's.
	Reserved []netip.Prefix
	// MTU is that of the node's own interface, for pods of a template that sets none.
	MTU int
	// Sysctls are the template's, by their dotted names.
	Sysctls map[string]string
	// Drift says what is put back that others have changed.
	Drift v1alpha1.DriftSettings
	// Of names whose configuration it is. What another one brings is made whatever Drift says.
	Of string
}

// Manager keeps the pod network as the Nodes have it.
type Manager struct {
	// StateDir keeps the node's own ranges over restarts.
	StateDir string
	// CNIDir is where containerd reads its CNI configuration.
	CNIDir string
	// LeaseDir is where the CNI plugins keep the addresses of pods. Default: the one of the CNI configuration.
	LeaseDir string
	// ResultsDir is where containerd keeps what the CNI plugins answered. Default: libcni's.
	ResultsDir string
	Kernel     Kernel
	Log        logr.Logger
	// Changed is called after each change of what Health, Findings and Status say.
	Changed func()

	once    sync.Once
	trigger chan struct{}

	mu      sync.Mutex
	config  Config
	own     []netip.Prefix
	nodes   []Node
	synced  bool
	done    applied
	ready   bool
	failure error
	started time.Time
	mended  mended

	applying sync.Mutex        // held by a run
	made     map[string]string // what runs made last, of what others' changes may be left in
	conflist []byte            // the CNI configuration that was written last, nil for none
	read     sync.Mutex
	known    map[string]attachment // by the names of their files
	gone     map[string]time.Time  // since when the rules of a sandbox's host ports are
}

// applied is what a run made of the machine.
type applied struct {
	// own are the ranges that it made the CNI configuration for, and former those that pods have addresses of beside.
	own, former []netip.Prefix
	// pods are the ranges that are not hidden from each other.
	pods []netip.Prefix
	// routes are those that it made, and unreachable those that there is no way for.
	routes, unreachable []Route
	// refused are the ranges of other Nodes that it made none for.
	refused []Refusal
	// portsLost are pods whose ports of the node have had no rules for a while.
	portsLost []string
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

// Configure sets what to work from. As long as no Node told the node's own ranges, it takes them from the disk.
func (m *Manager) Configure(c Config) {
	m.mu.Lock()
	m.config = c
	m.learnOwn()
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
	m.learnOwn()
	m.mu.Unlock()
	m.kick()
}

// learnOwn takes the node's own ranges from the Nodes. A Node that has none, or is not there, takes none away: its pods
// have addresses of those it had. The Nodes may be known before the configuration, which has the node's name.
func (m *Manager) learnOwn() {
	for _, n := range m.nodes {
		if n.Name == m.config.Node && len(n.PodCIDRs) > 0 {
			m.own = n.PodCIDRs
		}
	}
}

// verifyInterval is the wait after a good run: someone else may have taken a route away.
const verifyInterval = 30 * time.Second

// retries are the waits after runs that left the same undone.
var retries = backoff.Doubling(time.Second, verifyInterval)

// Run applies every change until the context ends. What it made stays.
func (m *Manager) Run(ctx context.Context) {
	events, err := netevents.Subscribe(ctx, netevents.Links, netevents.Rules)
	if err != nil {
		m.Log.Error(err, "Will see what others change of the pod network only when it looks")
	}
	m.kick() // nobody told of what was changed before
	keep(ctx, m.wake(), events, func() (string, error) {
		err := m.Apply()
		return m.trouble(), err
	}, func(err error) { m.Log.Error(err, "Failed to set up the pod network") })
}

// keep applies after each wake and event, and by the waits above, until the context ends. What apply could not do it says in
// words, with an error unless it is in the order of things; failed is told once of each.
func keep(ctx context.Context, wake, events <-chan struct{}, apply func() (trouble string, err error), failed func(error)) {
	timer := time.NewTimer(verifyInterval)
	defer timer.Stop()
	waits, before := retries, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-events:
		case <-timer.C:
		}
		trouble, err := apply()
		if trouble != before {
			waits = retries
			if err != nil {
				failed(err)
			}
		}
		before = trouble
		if trouble == "" {
			timer.Reset(verifyInterval)
		} else {
			timer.Reset(waits.Step())
		}
	}
}

// trouble is what the last run could not do, empty for none. A link that is down for a moment puts every node out of reach.
func (m *Manager) trouble() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil && len(m.done.unreachable) == 0 {
		return ""
	}
	return fmt.Sprint(m.failure, m.done.unreachable)
}

// Apply makes the machine as the Nodes have it, once.
func (m *Manager) Apply() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	config, own, nodes, synced, maintained := m.config, m.own, m.nodes, m.synced, m.ready
	m.mu.Unlock()
	if config.Node == "" {
		return nil
	}
	var found []string
	var err error
	if maintained {
		found, _ = m.faults() // what cannot be looked at, can be made all the less, which is told
	}
	var did applied
	if config.Settings.Mode == v1alpha1.NetworkModeExternal {
		err = m.Remove()
	} else if len(own) > 0 {
		did, err = m.apply(config, own, nodes, synced)
		did.own = own
	}
	again := m.repaired(found)
	m.mu.Lock()
	before, unreachable, refused := m.shown(), m.done.unreachable, m.done.refused
	m.done, m.failure, m.ready = did, err, err == nil && len(own) > 0
	if len(again) > 0 {
		m.mended = mended{faults: again, at: time.Now()}
	}
	if m.ready && m.started.IsZero() {
		m.started = time.Now()
	}
	changed := before != m.shown()
	m.mu.Unlock()
	if len(again) > 0 {
		m.Log.Info("Mended the pod network", "found", again)
	}
	if err == nil && !slices.Equal(unreachable, did.unreachable) {
		m.Log.Info("Found other nodes to be reachable or not", "unreachable", did.unreachable, "before", unreachable)
	}
	if err == nil && !slices.Equal(refused, did.refused) {
		m.Log.Info("Refused to route ranges of other nodes, or does no more", "refused", did.refused, "before", refused)
	}
	if changed && m.Changed != nil {
		m.Changed()
	}
	return err
}

// repaired are those of the faults that were found before a run and are no more.
func (m *Manager) repaired(found []string) []string {
	if len(found) == 0 {
		return nil
	}
	left, err := m.faults()
	if err != nil {
		return nil
	}
	return without(found, left)
}

// shown is what Health, Findings and Status say, as far as it does not change by itself.
func (m *Manager) shown() string {
	return fmt.Sprint(m.ready, m.failure, m.done.own, m.done.former, m.done.unreachable, m.done.refused, m.done.portsLost, m.mended)
}

// apply starts with what the CNI plugins need, because the kubelet waits for it. The bridge comes before the
// configuration, with which no pod could be attached to it otherwise.
func (m *Manager) apply(config Config, own []netip.Prefix, nodes []Node, synced bool) (applied, error) {
	mtu := config.MTU
	if config.Settings.MTU != nil {
		mtu = int(*config.Settings.MTU)
	}
	unbridged := m.bridgePods(config, own, nodes, mtu)
	former, err := m.readdress(config, own, nodes)
	if err != nil {
		return applied{}, errors.Join(unbridged, err)
	}
	did := applied{former: former, pods: slices.Concat(config.PodCIDRs, own)}
	errs := []error{
		unbridged,
		m.unlessMade(config.Drift.Files, "conflist", fmt.Sprint(config.Of, own, mtu), func() error { return m.writeConflist(own, mtu) }),
		storePodCIDRs(m.StateDir, config.Node, own),
		m.unlessMade(config.Drift.Rules, "rules", fmt.Sprint(config.Of, own, former, did.pods), func() error { return m.Kernel.Masquerade(own, former, did.pods) }),
		m.unlessMade(config.Drift.Sysctls, "forwarding", fmt.Sprint(config.Of, forwarding(own, config.Sysctls)), func() error { return m.forward(config, own) }),
	}
	did.portsLost, err = m.hostPortsLost(time.Now())
	errs = append(errs, err)
	if synced { // else nothing is known of the other nodes: the routes of the last run are the best there is
		errs = append(errs, m.route(config, own, nodes, &did))
	}
	return did, errors.Join(errs...)
}

// unlessMade makes a part, unless it was made so already and what others have changed of it since is to be left.
func (m *Manager) unlessMade(policy v1alpha1.DriftPolicy, part, as string, make func() error) error {
	if m.made == nil {
		m.made = map[string]string{}
	}
	if leaves(policy) && m.made[part] == as {
		return nil
	}
	err := make()
	if err == nil {
		m.made[part] = as
	}
	return err
}

func leaves(policy v1alpha1.DriftPolicy) bool {
	return policy == v1alpha1.DriftReport || policy == v1alpha1.DriftIgnore
}

// writeConflist puts the CNI configuration where containerd looks for it.
func (m *Manager) writeConflist(own []netip.Prefix, mtu int) error {
	data, err := Conflist(own, mtu)
	if err != nil {
		return err
	}
	m.conflist = data
	_, err = atomicfile.WriteDerived(filepath.Join(m.CNIDir, ConflistName), data, conflistMode)
	return err
}

// CheckCNI has the file of the CNI configuration compared with what it is to hold, which no run writes meanwhile. It does
// nothing where there is to be none of ours, or none yet.
func (m *Manager) CheckCNI(check func(path string, content []byte, mode os.FileMode)) {
	m.applying.Lock()
	defer m.applying.Unlock()
	if m.conflist != nil {
		check(filepath.Join(m.CNIDir, ConflistName), m.conflist, conflistMode)
	}
}

// forward turns on what somebody turned off.
func (m *Manager) forward(config Config, own []netip.Prefix) error {
	var errs []error
	for _, name := range forwarding(own, config.Sysctls) {
		value, err := m.Kernel.Sysctl(name)
		if err == nil && value == "0" {
			err = m.Kernel.SetSysctl(name, "1")
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// route makes the routes to the other nodes.
func (m *Manager) route(config Config, own []netip.Prefix, nodes []Node, did *applied) error {
	links, err := m.Kernel.Subnets()
	if err != nil {
		return err
	}
	want, refused := Routes(config.Node, own, nodes, Bounds{Pods: config.PodCIDRs, Reserved: config.Reserved, Links: links})
	did.refused = refused
	did.routes, did.unreachable, err = syncRoutes(m.Kernel, want)
	return err
}

// Remove takes back everything the manager made, but for the bridge that pods are attached to.
func (m *Manager) Remove() error {
	m.conflist, m.made = nil, nil
	_, _, err := syncRoutes(m.Kernel, nil)
	return errors.Join(removeConflist(m.CNIDir), err, m.Kernel.Masquerade(nil, nil, nil))
}
