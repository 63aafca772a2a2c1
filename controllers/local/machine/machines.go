package machine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/node"
)

// DefaultCgroupParent is the cgroup all machines are in.
const DefaultCgroupParent = "drover"

// Machines makes, adopts, reboots and removes the machines below one root. Its methods may be called at any time for
// different machines, by more than one process; each may be repeated after a crash at any point of it.
type Machines struct {
	// Root is the directory of all machines.
	Root string
	// AgentBinary is put onto machines.
	AgentBinary string
	// SharedBundles is shown to machines, read-only, if it is set.
	SharedBundles string
	// CgroupParent is the cgroup that the machines' cgroups are in. Default: DefaultCgroupParent.
	CgroupParent string
	// Host is what machines are made of. Default: this one.
	Host Host
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Log takes what happened.
	Log logr.Logger
}

// Wanted is a machine as asked for.
type Wanted struct {
	// Key names the machine. UID is of what it is made for: another one under the same name is another machine.
	Key types.NamespacedName
	UID string
	// Limits are its share of the host, Bridge what it is attached to, Range the addresses it may get.
	Limits Limits
	Bridge string
	Range  Range
	// Bootstrap is the document the machine finds at node.BootstrapPath. Only a new machine needs it.
	Bootstrap []byte
}

// State is a machine as it is.
type State struct {
	// Address is the machine's.
	Address netip.Addr
	// Process is its init and Running whether that lives. A machine that runs is made.
	Process Process
	Running bool
	// BootID is of this boot, Boots how many there were.
	BootID string
	Boots  int
	// RetryAfter is set while a machine that ended by itself, or did not start, too often waits for its next boot.
	RetryAfter time.Duration
}

func (m *Machines) layout(key types.NamespacedName) layout {
	return layout{root: m.Root, namespace: key.Namespace, name: key.Name}
}

func (m *Machines) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// Exists says whether anything of the machine is on disk. What cannot be looked at counts as there.
func (m *Machines) Exists(key types.NamespacedName) bool {
	_, err := os.Stat(m.layout(key).record())
	return !errors.Is(err, fs.ErrNotExist)
}

// UID is of what the machine was made for, empty if there is no record of it.
func (m *Machines) UID(key types.NamespacedName) (string, error) {
	r, err := loadRecord(m.layout(key).record())
	if err != nil || r == nil {
		return "", err
	}
	return r.UID, nil
}

// List names every machine there is something of.
func (m *Machines) List() ([]types.NamespacedName, error) {
	dirs, err := filepath.Glob(filepath.Join(m.Root, "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("list the machines below %s: %w", m.Root, err)
	}
	var keys []types.NamespacedName
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			keys = append(keys, types.NamespacedName{Namespace: filepath.Base(filepath.Dir(dir)), Name: filepath.Base(dir)})
		}
	}
	return keys, nil
}

// Ensure brings the machine to run: it makes a new one, adopts one that runs and boots one that ended. While the next
// boot of one that did not start is put off, the error is still the last boot's.
func (m *Machines) Ensure(ctx context.Context, want Wanted) (State, error) {
	facts, err := m.check()
	if err != nil {
		return State{}, err
	}
	l := m.layout(want.Key)
	unlock, err := lockMachine(ctx, l)
	if err != nil {
		return State{}, err
	}
	defer func() { unlock() }()
	r, err := loadRecord(l.record())
	if err != nil {
		return State{}, err
	}
	if r != nil && r.UID != want.UID {
		m.Log.Info("Found what is left of an earlier machine of that name", "machine", want.Key)
		if err := m.remove(ctx, l); err != nil {
			return State{}, err
		}
		unlock()
		if unlock, err = lockMachine(ctx, l); err != nil {
			unlock = func() {}
			return State{}, err
		}
		r = nil
	}
	if r == nil {
		if r, err = m.settle(ctx, l, want); err != nil {
			return State{}, err
		}
	}
	if !r.Prepared {
		if err := m.prepare(l, r, want); err != nil {
			return State{}, err
		}
	}
	if runs, err := m.adopt(ctx, l, r); err != nil || runs {
		return stateOf(r, runs), err
	}
	if delay := r.bootDelay(m.now()); delay > 0 {
		state := stateOf(r, false)
		state.RetryAfter = delay
		return state, r.startProblem()
	}
	if err := m.boot(ctx, inputs{layout: l, facts: facts, limits: want.Limits}, r); err != nil {
		return stateOf(r, false), err
	}
	return stateOf(r, true), nil
}

// ReadInside reads a file of a machine that runs.
func (m *Machines) ReadInside(key types.NamespacedName, name string) ([]byte, error) {
	r, err := loadRecord(m.layout(key).record())
	if err != nil {
		return nil, err
	}
	if r == nil || r.Process == nil {
		return nil, fmt.Errorf("read %s inside machine %s: it does not run", name, key)
	}
	return m.Host.ReadInside(*r.Process, name)
}

func stateOf(r *record, running bool) State {
	s := State{Running: running, BootID: r.BootID, Boots: r.Boots}
	if prefix, err := netip.ParsePrefix(r.Address); err == nil {
		s.Address = prefix.Addr()
	}
	if r.Process != nil {
		s.Process = *r.Process
	}
	return s
}

// check says, in a sentence, when machines cannot run on this host.
func (m *Machines) check() (Facts, error) {
	if strings.ContainsAny(m.Root, `,:\*?[ `) || !filepath.IsAbs(m.Root) {
		return Facts{}, unmakeable(fmt.Sprintf("The directory of local machines %q must be absolute and have none of , : \\ * ? [ and spaces in it: start the manager with another --local-root.", m.Root))
	}
	if err := os.MkdirAll(m.Root, 0o700); err != nil {
		return Facts{}, unmakeable(fmt.Sprintf("The directory of local machines cannot be made (%v): start the manager with another --local-root.", err))
	}
	return m.Host.Facts(m.Root)
}

// settle gives a new machine its place: what it keeps for its life.
func (m *Machines) settle(ctx context.Context, l layout, want Wanted) (*record, error) {
	bridge, err := m.Host.Bridge(want.Bridge)
	if err != nil {
		return nil, err
	}
	unlock, err := lockAddresses(ctx, m.Root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := m.nameIsFree(l); err != nil {
		return nil, err
	}
	taken, err := takenAddresses(m.Root)
	if err != nil {
		return nil, err
	}
	address, err := pick(want.Range, bridge, taken)
	if err != nil {
		return nil, err
	}
	r := &record{UID: want.UID, Bridge: bridge.Name, Address: address.String(), Gateway: bridge.Address.Addr().String(), MachineID: randomHex()}
	return r, saveJSON(l.record(), r)
}

// nameIsFree says, in a sentence, when another namespace's machine has the name.
func (m *Machines) nameIsFree(l layout) error {
	namespace, err := namesake(l)
	if err != nil || namespace == "" {
		return err
	}
	return unmakeable(fmt.Sprintf("Namespace %s has a local machine of the same name, which would be the same Node: give this one another name.", namespace))
}

// namesake is another namespace that has a machine of this name, empty if there is none. The name is its Node's and its
// cgroup's, so it is one machine's over all namespaces: its whose record is there. The answer holds as long as the
// addresses are locked.
func namesake(l layout) (namespace string, err error) {
	records, err := filepath.Glob(filepath.Join(l.root, "*", l.name, filepath.Base(l.record())))
	if err != nil {
		return "", fmt.Errorf("list the machines: %w", err)
	}
	for _, record := range records {
		if record != l.record() {
			return filepath.Base(filepath.Dir(filepath.Dir(record))), nil
		}
	}
	return "", nil
}

// prepare lays out the machine's directories. It never ran yet, so nothing in them can lead elsewhere.
func (m *Machines) prepare(l layout, r *record, want Wanted) error {
	for _, dir := range l.directories() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("lay out the machine: %w", err)
		}
	}
	if err := saveFile(filepath.Join(l.etcDrover(), filepath.Base(node.BootstrapPath)), want.Bootstrap); err != nil {
		return err
	}
	r.Prepared = true
	return saveJSON(l.record(), r)
}

// Remove stops the machine and removes all there is of it, also of one that was made or removed half-way.
func (m *Machines) Remove(ctx context.Context, key types.NamespacedName) error {
	l := m.layout(key)
	unlock, err := lockMachine(ctx, l)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.remove(ctx, l); err != nil {
		return err
	}
	// Another machine of the namespace may be there, or on its way.
	_ = os.Remove(filepath.Dir(l.dir()))
	return nil
}

func (m *Machines) remove(ctx context.Context, l layout) error {
	r, err := loadRecord(l.record())
	if err != nil {
		// What a record cannot tell, the names do: link, directory and, if no other machine has it, cgroup.
		m.Log.Error(err, "Removed a machine without its record", "namespace", l.namespace, "machine", l.name)
	}
	if r != nil && r.Process != nil {
		if err := m.stop(ctx, *r.Process); err != nil {
			return err
		}
	}
	if err := m.Host.RemoveLink(l.linkName()); err != nil {
		return err
	}
	if err := m.removeCgroups(ctx, l); err != nil {
		return err
	}
	if err := m.Host.RemoveTree(l.dir()); err != nil {
		return err
	}
	if _, err := os.Lstat(l.dir()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the machine's directory %s: it is still there", l.dir())
	}
	return nil
}

// removeCgroups ends what runs in the machine's cgroups and removes them. They are named by the machine's name alone: one
// that was refused because another namespace's machine has that name has none of its own.
func (m *Machines) removeCgroups(ctx context.Context, l layout) error {
	facts, err := m.Host.Facts(l.root)
	if err != nil {
		return err
	}
	unlock, err := lockAddresses(ctx, l.root)
	if err != nil {
		return err
	}
	namespace, err := namesake(l)
	if m.Exists(types.NamespacedName{Namespace: l.namespace, Name: l.name}) {
		unlock() // The record keeps the name from others, and others need not wait for the kernel.
	} else {
		defer unlock()
	}
	if err != nil || namespace != "" {
		return err
	}
	return m.Host.RemoveCgroups(ctx, renderCgroups(inputs{layout: l, facts: facts, cgroupParent: m.cgroupParent()}))
}

func (m *Machines) cgroupParent() string {
	if m.CgroupParent == "" {
		return DefaultCgroupParent
	}
	return m.CgroupParent
}

func randomHex() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return hex.EncodeToString(id)
}
