package planner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

type machines map[string]*clusterv1.Machine

func (m machines) list() []*clusterv1.Machine {
	return slices.SortedFunc(maps.Values(m), func(a, b *clusterv1.Machine) int { return strings.Compare(a.Name, b.Name) })
}

func (m machines) active() int {
	n := 0
	for _, one := range m {
		if one.DeletionTimestamp.IsZero() {
			n++
		}
	}
	return n
}

// world is the API server's content and everything that acts on it. Objects in it are replaced, never changed, so
// that a cache may hold old ones.
type world struct {
	tallies
	rng  *rand.Rand
	now  time.Time
	step int

	pool       *v1alpha1.NodePool // nil once it is gone
	machines   machines
	infra      map[string]bool
	foreign    map[string]bool // Nodes of others
	agents     map[string]*v1alpha1.NodeAgent
	good       map[string]string // what proved itself last on each machine
	changed    map[string]int    // nodes that a manager changed, until their agents have settled, and how many its plan let be unavailable
	silent     map[string]bool
	cordoned   map[string]bool
	bad        map[string]bool // revisions that most agents go back from
	revision   string
	stalledNow bool
	managers   []*manager

	version     int
	everMade    map[string]int
	statuses    []v1alpha1.NodePoolStatus // with a reservation, for somebody to put back
	handDeleted int
	progress    time.Time // when a rollout got on last; lostAt is when a status was lost, with what it knew of that
	lostAt      time.Time
	lingers     int // for how many steps more nothing else happens than that a machine is ill
	log         []string
	broken      error
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%5d ", w.step)+fmt.Sprintf(format, args...))
}

func (w *world) history() string { return strings.Join(w.log[max(0, len(w.log)-60):], "\n") }

func (w *world) fail(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
	}
}

// writePool replaces the pool if it still has that version; "" means any. A pool that is being deleted goes with its
// finalizer.
func (w *world) writePool(version string, edit func(*v1alpha1.NodePool)) bool {
	if w.pool == nil || (version != "" && version != w.pool.ResourceVersion) {
		w.conflicts++
		return false
	}
	w.version++
	pool := w.pool.DeepCopy()
	if pool.Status.Reserved != nil {
		w.statuses = append(w.statuses, pool.Status)
	}
	edit(pool)
	if rollingOut(pool) != rollingOut(w.pool) || !slices.Equal(pool.Status.Updating, w.pool.Status.Updating) {
		w.progress = w.now
	}
	pool.ResourceVersion = strconv.Itoa(w.version + 1)
	w.pool = pool
	if !pool.DeletionTimestamp.IsZero() && len(pool.Finalizers) == 0 {
		w.pool = nil
	}
	return true
}

// rollingOut is the revision that a pool's rollout is known to be to. That the revision of its template is not known for a while leaves it.
func rollingOut(pool *v1alpha1.NodePool) string {
	return ptr.Deref(pool.Status.Rollout, v1alpha1.NodePoolRolloutStatus{}).Revision
}

func (w *world) writeMachine(name string, edit func(*clusterv1.Machine)) {
	m := w.machines[name].DeepCopy()
	edit(m)
	w.machines[name] = m
	if !m.DeletionTimestamp.IsZero() && len(m.Finalizers) == 0 {
		delete(w.machines, name)
	}
}

func (w *world) createMachine(name, revision string, want int, exclusive bool) {
	if w.machines[name] != nil {
		return // it exists already: a replay
	}
	if w.everMade[name]++; w.everMade[name] > 1 {
		w.fail("invariant 4: the name %s is used twice", name)
	}
	if w.foreign[name] && exclusive {
		w.note("%s was taken by a foreign Node after it was planned", name)
	}
	if !w.infra[name] && exclusive {
		w.fail("Machine %s was made before its infrastructure machine", name)
	}
	if exclusive && w.machines.active()+1 > want {
		w.fail("invariant 4: Machine %s is a second one for one need: %d are there, the plan wanted %d", name, w.machines.active(), want)
	}
	if !w.infra[name] {
		// A leader that lost its lease lost its infrastructure machine to the next one, who gave the ordinal up. It is one
		// machine that never becomes ready, not two for one need: for repair to replace.
		w.crippled++
		w.infra[name] = true
	}
	w.tallies.machines++
	w.version++
	w.machines[name] = &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(strconv.Itoa(w.version)), CreationTimestamp: metav1.NewTime(w.now),
		Labels: map[string]string{v1alpha1.RevisionLabel: revision}, Finalizers: []string{clusterv1.MachineFinalizer, v1alpha1.OrdinalFinalizer},
	}}
	w.note("created %s", name)
}

func (w *world) markDeleted(name string) {
	if m := w.machines[name]; m != nil && m.DeletionTimestamp.IsZero() {
		w.writeMachine(name, func(m *clusterv1.Machine) { m.DeletionTimestamp = &metav1.Time{Time: w.now} })
	}
}

// machinesProgress lets Cluster API do its part: new machines become ready, deleted ones lose its finalizer.
func (w *world) machinesProgress(chance float64) {
	for _, m := range w.machines.list() {
		if w.rng.Float64() >= chance {
			continue
		}
		if m.DeletionTimestamp.IsZero() {
			w.ensureAgent(m)
			if w.silent[m.Name] && w.rng.IntN(4) == 0 {
				delete(w.silent, m.Name)
			}
			if w.silent[m.Name] || w.agents[m.Name].Status.CurrentRevision == "" {
				continue
			}
			w.writeMachine(m.Name, func(m *clusterv1.Machine) {
				m.Status.NodeRef.Name = m.Name
				withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionTrue, "")(m)
				nodeReady(m)
				withCondition(clusterv1.MachineReadyCondition, metav1.ConditionTrue, "")(m)
				withCondition(clusterv1.MachineAvailableCondition, metav1.ConditionTrue, "")(m)
				if Asked(m) && (chance == 1 || w.rng.IntN(4) == 0) {
					foundHealthy(m)
				}
			})
			continue
		}
		if len(w.managers) > 1 {
			continue // what a leader that lost its lease has under way ends sooner than a drain
		}
		delete(w.infra, m.Name)
		w.writeMachine(m.Name, func(m *clusterv1.Machine) {
			m.Finalizers = slices.DeleteFunc(slices.Clone(m.Finalizers), func(f string) bool { return f == clusterv1.MachineFinalizer })
		})
	}
}

func (w *world) anyMachine() *clusterv1.Machine {
	list := w.machines.list()
	if len(list) == 0 {
		return nil
	}
	return list[w.rng.IntN(len(list))]
}

func (w *world) machineDies() {
	m := w.anyMachine()
	if m == nil {
		return
	}
	w.deaths++
	if w.rng.IntN(3) == 0 {
		w.asks(m)
		return
	}
	if w.rng.IntN(2) == 0 && m.DeletionTimestamp.IsZero() {
		w.silences++
		w.silent[m.Name] = true
	}
	w.falls(m, w.silent[m.Name])
	if !w.silent[m.Name] && w.rng.IntN(2) == 0 {
		w.lingers = 40
	}
}

// losesStatus has somebody remove the pool's status, or its next ordinal and reservation alone, or put an old one back.
func (w *world) losesStatus() {
	if w.pool == nil {
		return
	}
	w.lost++
	w.lostAt = w.now
	w.note("somebody: removes the status")
	w.writePool("", func(p *v1alpha1.NodePool) {
		switch w.rng.IntN(4) {
		case 0:
			p.Status = v1alpha1.NodePoolStatus{}
		case 1:
			p.Status.NextOrdinal, p.Status.Reserved = nil, nil
		case 2:
			if len(w.statuses) > 0 {
				p.Status = *w.statuses[w.rng.IntN(len(w.statuses))].DeepCopy()
			}
		default:
			if len(w.statuses) > 0 {
				p.Status.Reserved = w.statuses[w.rng.IntN(len(w.statuses))].Reserved.DeepCopy()
			}
		}
	})
}

// takeName makes a foreign Node with the name of a machine to come.
func (w *world) takeName() {
	if w.pool == nil {
		return
	}
	f := newFleet(Snapshot{Pool: w.pool, Machines: w.machines.list()})
	name := f.machineName(f.nextOrdinal() + w.rng.Int64N(3))
	if w.everMade[name] == 0 {
		w.taken++
		w.foreign[name] = true
	}
}

func (w *world) changeLeaders() {
	if len(w.managers) == 1 {
		w.doubles++
		// The new leader was a standby: its caches lag, each kind's as it likes.
		standby := newManager(w)
		standby.machines = maps.Clone(w.managers[0].machines)
		w.managers = append(w.managers, standby)
		return
	}
	w.managers = w.managers[1:]
}

func (w *world) userEdits() {
	if w.pool == nil {
		return
	}
	w.edits++
	switch n := w.rng.IntN(29); {
	case n > 27:
		w.editRefresh()
	case n > 25:
		w.editExpiry()
	case n > 23:
		w.editRepair()
	case n > 21:
		if m := w.anyMachine(); m != nil {
			on := w.rng.IntN(2) == 0
			w.note("user: leave %s alone: %t", m.Name, on)
			w.writeMachine(m.Name, func(m *clusterv1.Machine) {
				if delete(m.Annotations, v1alpha1.DoNotDisruptAnnotation); on {
					metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.DoNotDisruptAnnotation, "a batch")
				}
			})
		}
	case n == 21:
		seconds := int32(5 + w.rng.IntN(20)) //nolint:gosec // small
		w.note("user: progressDeadlineSeconds %d", seconds)
		w.writePool("", func(p *v1alpha1.NodePool) { hasDeadline(seconds)(p); p.Generation++ })
	case n == 22:
		surge := surges[w.rng.IntN(len(surges))]
		w.note("user: maxSurge %s", surge)
		w.writePool("", func(p *v1alpha1.NodePool) { maySurge(surge)(p); p.Generation++ })
	case n == 23:
		strategy := []v1alpha1.RolloutStrategy{v1alpha1.RolloutInPlace, v1alpha1.RolloutReplace}[w.rng.IntN(2)]
		w.note("user: strategy %s", strategy)
		w.writePool("", func(p *v1alpha1.NodePool) { p.Spec.Rollout.Strategy = strategy; p.Generation++ })
	case n == 20:
		most := mostUnavailable[w.rng.IntN(len(mostUnavailable))]
		w.note("user: maxUnavailable %s", most)
		w.writePool("", func(p *v1alpha1.NodePool) { mayMiss(most)(p); p.Generation++ })
	case n < 7:
		replicas := int32(w.rng.IntN(8)) //nolint:gosec // small
		w.note("user: replicas %d", replicas)
		w.writePool("", func(p *v1alpha1.NodePool) { p.Spec.Replicas = &replicas; p.Generation++ })
	case n < 9:
		paused := w.rng.IntN(3) == 0
		w.note("user: paused %t", paused)
		w.writePool("", func(p *v1alpha1.NodePool) { p.Spec.Paused = &paused; p.Generation++ })
	case n < 15:
		w.revision = simulated[w.rng.IntN(4)]
		w.bad = map[string]bool{simulated[w.rng.IntN(4)]: true}
		w.note("user: template %s, bad are %v", w.revision, w.bad)
		w.writePool("", func(p *v1alpha1.NodePool) { p.Generation++ })
	case n < 19:
		if m := w.anyMachine(); m != nil {
			w.note("user: deletes %s", m.Name)
			w.handDeleted++
			w.markDeleted(m.Name)
		}
	default:
		w.note("user: deletes the pool")
		w.writePool("", func(p *v1alpha1.NodePool) { p.DeletionTimestamp = &metav1.Time{Time: w.now} })
	}
}

// surges are what users let a pool have beyond what it wants.
var surges = []string{"0", "1", "2", "50%", "100%"}

// mostUnavailable are what users let be unavailable at once.
var mostUnavailable = []string{"1", "2", "3", "10%", "60%", "100%"}

// heal ends all faults: one manager with a fresh cache, nothing stalled or paused.
func (w *world) heal() {
	w.note("everything heals")
	w.stalledNow = false
	w.managers = []*manager{newManager(w)}
	w.writePool("", func(p *v1alpha1.NodePool) { p.Spec.Paused = nil })
	clear(w.bad)
	clear(w.silent)
	w.revision = "r4" // No machine went back from it.
	for _, m := range w.machines.list() {
		w.writeMachine(m.Name, func(m *clusterv1.Machine) { delete(m.Annotations, v1alpha1.DoNotDisruptAnnotation) })
	}
}

// settled says what is still wrong with a world that has healed.
func (w *world) settled() error {
	if w.pool == nil {
		if len(w.machines) > 0 || w.orphans() > 0 {
			return fmt.Errorf("the pool is gone and left %d machines, %d infrastructure machines", len(w.machines), len(w.infra))
		}
		return nil
	}
	if !w.pool.DeletionTimestamp.IsZero() {
		return errors.New("the pool is not gone")
	}
	want := int(*w.pool.Spec.Replicas)
	if len(w.machines) != want || w.machines.active() != want || w.orphans() > 0 || w.pool.Status.Reserved != nil {
		return fmt.Errorf("the pool wants %d: there are %d Machines (%d active), %d infrastructure machines without one, reserved %v",
			want, len(w.machines), w.machines.active(), w.orphans(), w.pool.Status.Reserved)
	}
	status := w.pool.Status
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ReadyCondition) || int(*status.Replicas) != want || int(*status.ReadyReplicas) != want {
		return fmt.Errorf("the status does not say that %d machines are ready: %+v", want, status)
	}
	return cmp.Or(w.notUpdated(), w.unanswered(), w.tooOld())
}

// orphans counts infrastructure machines that have no Machine. Where two leaders worked at once, the old one can have
// made one after the new one gave its ordinal up; it goes with the pool.
func (w *world) orphans() int {
	if w.doubles > 0 {
		return 0
	}
	n := 0
	for name := range w.infra {
		if w.machines[name] == nil {
			n++
		}
	}
	return n
}
