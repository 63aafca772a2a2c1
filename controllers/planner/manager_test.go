package planner

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// manager is a process of ours: a cache that lags, a memory of its own writes, and the writes of the present round
// that it has not made yet. It does in the simulation what package nodepool does.
type manager struct {
	*world
	pool     *v1alpha1.NodePool             // cached
	machines machines                       // cached
	agents   map[string]*v1alpha1.NodeAgent // cached
	cordoned map[string]bool                // cached

	startedAt   time.Time
	wrotePool   string
	created     map[string]bool
	deleted     map[types.UID]bool
	wroteAgents map[string]string // the versions that our writes made
	pending     []func() bool     // one write each; false ends the round
	idle        string            // the pool's version when nothing was done and the rest was to be planned at once
}

func newManager(w *world) *manager {
	m := &manager{world: w}
	m.restart()
	return m
}

func (m *manager) restart() {
	m.catchUp()
	m.startedAt = m.now
	m.wrotePool, m.created, m.deleted, m.pending, m.idle = "", map[string]bool{}, map[types.UID]bool{}, nil, ""
	m.wroteAgents = map[string]string{}
}

func (m *manager) crash() {
	m.crashes++
	m.note("a manager crashes with %d writes to go", len(m.pending))
	m.restart()
}

func (m *manager) catchUp() {
	m.pool, m.machines, m.agents = m.world.pool, maps.Clone(m.world.machines), maps.Clone(m.world.agents)
	m.cordoned = maps.Clone(m.world.cordoned)
}

// catchUpSome shows the cache some of what happened.
func (m *manager) catchUpSome() {
	if m.rng.IntN(2) == 0 {
		m.pool = m.world.pool
	}
	if m.rng.IntN(2) == 0 {
		m.cordoned = maps.Clone(m.world.cordoned)
	}
	for _, name := range slices.Sorted(maps.Keys(m.machines)) {
		if m.world.machines[name] == nil && m.rng.IntN(2) == 0 {
			delete(m.machines, name)
		}
	}
	for _, one := range m.world.machines.list() {
		if m.rng.IntN(2) == 0 {
			m.machines[one.Name] = one
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.agents)) {
		if m.world.agents[name] == nil && m.rng.IntN(2) == 0 {
			delete(m.agents, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.world.agents)) {
		if m.rng.IntN(2) == 0 {
			m.agents[name] = m.world.agents[name]
		}
	}
}

// act makes the next write of the round, or begins another.
func (m *manager) act() {
	if len(m.pending) == 0 {
		m.begin()
		return
	}
	next := m.pending[0]
	m.pending = m.pending[1:]
	m.writes++
	if !next() {
		m.pending, m.idle = nil, "" // What the round would have written besides it has not.
	}
}

func (m *manager) begin() {
	s, result, ok := m.decide()
	if !ok {
		return
	}
	m.plans++
	m.check(s, result)
	m.checkExplained(s, result)
	if s.CacheBehind != "" {
		m.stale++
		return
	}
	if result.Finalize {
		if len(m.managers) > 1 {
			return // what a leader that lost its lease has under way ends sooner than a pool
		}
		m.pending = append(m.pending, func() bool { return m.finalize(s) })
		return
	}
	m.apply(s, result)
}

// decide observes from the cache, and then with what the plan asks for from the API server.
func (m *manager) decide() (s Snapshot, result Result, ok bool) {
	var confirm []string
	live := false
	for left := 3; ; left-- {
		if s, ok = m.observe(confirm, live); !ok {
			return s, result, false
		}
		result = Plan(s)
		if left == 1 || !result.Live && len(result.Confirm) == 0 {
			return s, result, true
		}
		confirm, live = slices.Concat(confirm, result.Confirm), live || result.Live
		if len(confirm) > 0 {
			m.confirms++
		}
		if s.Confirmed && len(result.Confirm) > 0 {
			m.others++
		}
	}
}

func (m *manager) observe(confirm []string, live bool) (Snapshot, bool) {
	if m.pool == nil || len(confirm) > 0 && m.world.pool == nil {
		return Snapshot{}, false
	}
	s := Snapshot{Now: m.now, Pool: m.pool, Machines: m.machines.list(), CacheBehind: m.behind(), ListeningSince: m.startedAt}
	if len(confirm) > 0 {
		s.Pool, s.Confirmed = m.world.pool, true
	}
	m.observeAgents(&s, confirm)
	if live && s.CacheBehind == "" {
		if m.world.pool == nil {
			return s, false
		}
		s.Pool, s.Machines, s.Live = m.world.pool, m.world.machines.list(), true
	}
	if s.Pool.Status.Reserved != nil {
		m.replays++
	}
	s.Nodes = map[string]*corev1.Node{}
	for name := range m.foreign {
		s.Nodes[name] = &corev1.Node{}
	}
	for name := range m.everMade {
		if m.world.machines[name] == nil {
			s.Gone = append(s.Gone, name)
		}
	}
	s.Revision = m.revision
	s.Contents = contentsFor(m.revision)
	if m.stalledNow && s.Pool.DeletionTimestamp.IsZero() && m.rng.IntN(2) == 0 {
		s.Refused = &Refusal{Name: "m", Message: "quota", Until: m.now.Add(time.Second)}
	} else if m.stalledNow && s.Pool.DeletionTimestamp.IsZero() {
		s.Problems = []Problem{{Reason: v1alpha1.ReasonBundleNotFound, Message: "stalled"}}
		if m.rng.IntN(2) == 0 {
			s.Revision = ""
		}
	}
	return s, true
}

// behind is as package nodepool's.
func (m *manager) behind() string {
	if m.wrotePool != "" && len(m.wrotePool) >= len(m.pool.ResourceVersion) && (len(m.wrotePool) > len(m.pool.ResourceVersion) || m.wrotePool > m.pool.ResourceVersion) {
		return "the pool"
	}
	for name := range m.created {
		if m.machines[name] == nil && m.world.machines[name] != nil {
			return name
		}
	}
	for _, one := range m.machines {
		if m.deleted[one.UID] && one.DeletionTimestamp.IsZero() {
			return one.Name
		}
	}
	return ""
}

// check holds a plan to the invariants that it can break by itself.
func (m *manager) check(s Snapshot, result Result) {
	m.checkRest(s, result)
	m.checkRepair(s, result)
	f := newFleet(s)
	for _, a := range result.Actions {
		if m.leavesAlone(s, a) {
			m.fail("%s %s (%s), which somebody wants left alone", a.Verb, a.Name, a.Cause)
		}
		switch {
		case f.paused() && a.Verb != Release:
			m.fail("invariant 6: a paused pool does %s %s", a.Verb, a.Name)
		case f.deleting() && a.Verb == Create:
			m.fail("invariant 6: a pool that is being deleted makes %s", a.Name)
		case len(s.Problems) > 0 && a.Verb == Create:
			m.fail("a stalled pool makes %s", a.Name)
		case s.Refused != nil && a.Verb == Create:
			m.fail("%s is made although that was just refused", a.Name)
		case s.CacheBehind != "":
			m.fail("%s %s was decided on a cache that is behind", a.Verb, a.Name)
		case f.deleting() && a.Verb == Update, len(s.Problems) > 0 && a.Verb == Update:
			m.fail("%s is changed in a pool that is being deleted or stalled", a.Name)
		case a.Verb == Update && s.Agents[a.Name].Spec.Revision == s.Revision:
			m.fail("%s is given what it has", a.Name)
		case a.Verb == Update && f.rollout.doubted != nil && a.Revision == s.Revision:
			m.fail("%s is given %s, from which %s went back", a.Name, a.Revision, f.rollout.doubted.Name)
		case a.Verb == Create && m.foreign[a.Name]:
			m.fail("%s is made although a foreign Node has that name", a.Name)
		}
	}
	if n := len(result.Of(Create)); n > max(0, f.want()+maxSurge(s.Pool)-len(f.active)) {
		m.fail("%d are made, %d are there, and the pool wants %d and a surge of %d", n, len(f.active), f.want(), maxSurge(s.Pool))
	}
	m.checkDeletes(f, result)
	if next := s.Pool.Status.NextOrdinal; next != nil && result.NextOrdinal < *next {
		m.fail("nextOrdinal shrinks from %d to %d", *next, result.NextOrdinal)
	}
}

// leavesAlone says that an action disrupts a machine that it must not, as far as the manager could know.
func (m *manager) leavesAlone(s Snapshot, a Action) bool {
	if a.Verb != Update && a.Verb != Treat && (a.Verb != Delete || a.Cause == PoolDeletion) {
		return false
	}
	for _, one := range s.Machines {
		_, annotated := one.Annotations[v1alpha1.DoNotDisruptAnnotation]
		if one.Name == a.Name && annotated {
			return one.Status.NodeRef.IsDefined()
		}
	}
	return false
}

// checkDeletes holds what goes to what the pool wants: a machine that works goes as there are too many, or when another one is well in its
// place. Without a surge others may be lacking or not well, as many as may be unavailable.
func (m *manager) checkDeletes(f *fleet, result Result) {
	surplus, spare, missed, works := 0, len(f.active)-f.want(), 0, false
	for _, a := range result.Of(Delete) {
		one := f.active[slices.IndexFunc(f.active, func(one *machine) bool { return one.Name == a.Name })]
		works = works || one.well() && a.Cause != Repair
		switch {
		case a.Cause == Repair: // which checkRepair is about
		case a.Cause == ScaleDown || a.Cause == PoolDeletion:
			surplus++
		case a.Cause == Expiry, a.Cause == Refresh:
			m.checkRenewal(f, one)
			missed++
		case one.told == f.Revision && f.rollout.target == f.Revision:
			m.fail("%s runs what the template says, and is replaced", a.Name)
		case one.joined():
			missed++
		case !one.joined():
			spare-- // it is none that anybody has
		}
	}
	if surplus > max(0, len(f.active)-f.want()) {
		m.fail("%d are deleted and %d are too many", surplus, len(f.active)-f.want())
	}
	if missed == 0 {
		return
	}
	unwell := 0
	count := func(cause Cause) (n int) {
		for _, a := range result.Of(Delete) {
			if a.Cause == cause {
				n++
			}
		}
		return n
	}
	for _, one := range f.active {
		gone := slices.ContainsFunc(result.Of(Delete), func(a Action) bool { return a.Name == one.Name })
		isNext := !works && f.renewal(one).cause != "" // It goes as those that go now, none of which is well either.
		if !gone && one.told == f.rollout.target && !one.well() && !isNext {
			unwell++
		}
	}
	m.replaced += missed - count(Expiry) - count(Refresh)
	m.expired += count(Expiry)
	m.refreshed += count(Refresh)
	limit := spare - surplus - unwell
	if maxSurge(f.Pool) == 0 {
		limit = maxUnavailable(f.Pool) - max(0, -spare)
	}
	if missed > limit {
		m.fail("%d are replaced: %d machines are there and %d wanted, %d go as they are too many, and %d that are to stay are not well", missed, len(f.active), f.want(), surplus, unwell)
	}
}

// checkRest allows for one plan in a row that does nothing and wants the next one at once.
func (m *manager) checkRest(s Snapshot, result Result) {
	if len(result.Actions) > 0 || result.RequeueAfter != nextBatch {
		m.idle = ""
		return
	}
	if m.idle == s.Pool.ResourceVersion {
		m.fail("nothing is done, over and over: the pool is planned each %s, deferred %+v", nextBatch, result.Deferred)
	}
	m.idle = s.Pool.ResourceVersion
}

// apply queues the writes of a plan.
func (m *manager) apply(s Snapshot, result Result) {
	planned := newFleet(s)
	want, alone, handDeleted := planned.want(), len(m.managers) == 1, m.handDeleted
	room := want + maxSurge(s.Pool)
	exclusive := func() bool { return alone && len(m.managers) == 1 }
	base := s.Pool
	m.queue(result.Record, func() bool {
		if !m.writePool(base.ResourceVersion, func(p *v1alpha1.NodePool) {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.NextOrdinalAnnotation, strconv.FormatInt(result.NextOrdinal, 10))
		}) {
			return false
		}
		base = m.world.pool
		m.wrotePool = base.ResourceVersion
		return true
	})
	m.queue(result.Reserve != nil, func() bool {
		if !m.writePool(base.ResourceVersion, func(p *v1alpha1.NodePool) {
			p.Status.Reserved, p.Status.NextOrdinal = result.Reserve, &result.NextOrdinal
		}) {
			return false
		}
		m.note("reserved %d+%d", *result.Reserve.First, result.Reserve.Count)
		base = m.world.pool
		m.wrotePool = base.ResourceVersion
		return true
	})
	for _, a := range result.Of(Create) {
		m.queue(true, func() bool { m.infra[a.Name] = true; return true })
		m.queue(true, func() bool {
			if m.machineGone(a.Name) {
				m.fail("the replay would make %s again", a.Name)
			}
			m.createMachine(a.Name, a.Revision, room, exclusive())
			m.created[a.Name] = true
			return true
		})
	}
	for _, a := range result.Of(Discard) {
		m.queue(true, func() bool {
			if m.world.machines[a.Name] == nil {
				delete(m.infra, a.Name)
			}
			return true
		})
	}
	for _, a := range result.Of(Delete) {
		if a.Cause == Repair {
			m.queueRepair(s, a, result, &base, want, handDeleted, exclusive)
			continue
		}
		least := want
		if a.Class == disruption.Replace && (maxSurge(s.Pool) == 0 || len(planned.replacement.unborn) > 0) {
			least = 0 // What goes first, or never was a node, may be missed.
		}
		m.queue(true, func() bool { m.deleteMachine(a, least, handDeleted, exclusive()); return true })
	}
	for _, a := range result.Of(Treat) {
		m.queueTreatment(s, a, result.Repair, &base)
	}
	for _, a := range result.Of(Release) {
		m.queue(true, func() bool { m.release(a); return true })
	}
	m.queue(!slices.Equal(result.Updating, base.Status.Updating) && len(result.Of(Update)) > 0, func() bool {
		if !m.writePool(base.ResourceVersion, func(p *v1alpha1.NodePool) {
			if p.Status.Updating = result.Updating; p.Status.Rollout != nil {
				p.Status.Rollout.ProgressedAt = metav1.NewTime(s.Now.Truncate(time.Second))
			}
		}) {
			return false
		}
		m.progress = s.Now
		base = m.world.pool
		m.wrotePool = base.ResourceVersion
		return true
	})
	for _, a := range result.Of(Uncordon) {
		m.queue(true, func() bool { return m.uncordon(a, exclusive()) })
	}
	for _, a := range result.Of(Update) {
		version := s.Agents[a.Name].ResourceVersion
		m.queue(a.Class == disruption.Drain, func() bool { return m.drain(a) })
		m.queue(true, func() bool { return m.updateMachine(a, version, maxUnavailable(s.Pool), exclusive()) })
	}
	m.queueAnswers(s, result)
	m.queue(true, func() bool {
		s.Pool = base
		status, _ := Report(s, result, Outcome{Created: result.Of(Create), Deleted: result.Of(Delete), Updated: result.Of(Update), Treated: result.Of(Treat), ReservationFinished: result.FinishReservation})
		m.checkOverdue(s, status)
		if reflect.DeepEqual(status, base.Status) {
			return true
		}
		progress := m.progress
		if m.writePool(base.ResourceVersion, func(p *v1alpha1.NodePool) { p.Status = status }) && m.world.pool != nil {
			if m.progress != progress {
				m.progress = s.Now
			}
			m.wrotePool = m.world.pool.ResourceVersion
		}
		return true
	})
}

// checkOverdue holds what a pool says of a rollout that does not get on to what the world saw.
func (m *manager) checkOverdue(s Snapshot, status v1alpha1.NodePoolStatus) {
	reason, message := messageOf(status, v1alpha1.StalledCondition)
	if reason != v1alpha1.ReasonProgressDeadlineExceeded || s.Pool.ResourceVersion != m.world.pool.ResourceVersion {
		return
	}
	m.overdue++
	least := time.Duration(ptr.Deref(s.Pool.Spec.Rollout.ProgressDeadlineSeconds, defaultProgressDeadline)) * time.Second
	if got := s.Now.Sub(m.progress); m.progress.After(m.lostAt) && got > 0 && got < least-time.Second {
		m.fail("the rollout got on %s ago, and is said not to for %s: %s", got, least, message)
	}
}

func (m *manager) queue(when bool, write func() bool) {
	if when {
		m.pending = append(m.pending, write)
	}
}

func (m *manager) machineGone(name string) bool {
	return m.world.machines[name] == nil && m.everMade[name] > 0
}

func (m *manager) deleteMachine(a Action, want, handDeleted int, exclusive bool) {
	one := m.world.machines[a.Name]
	if one == nil || one.UID != a.UID || !one.DeletionTimestamp.IsZero() {
		return
	}
	byHand := m.handDeleted - handDeleted
	if left := m.world.machines.active() - 1; exclusive && left < want-byHand {
		m.fail("%s is deleted, which leaves %d; the plan wanted %d and users deleted %d since", a.Name, left, want, byHand)
	}
	m.note("deleted %s: %s", a.Name, a.Reason)
	m.markDeleted(a.Name)
	m.deleted[a.UID] = true
}

func (m *manager) release(a Action) {
	if one := m.world.machines[a.Name]; one != nil && one.UID == a.UID {
		m.writeMachine(a.Name, func(one *clusterv1.Machine) {
			one.Finalizers = slices.DeleteFunc(slices.Clone(one.Finalizers), func(f string) bool { return f == v1alpha1.OrdinalFinalizer })
		})
	}
}

func (m *manager) finalize(s Snapshot) bool {
	if m.world.pool == nil || m.world.pool.ResourceVersion != s.Pool.ResourceVersion {
		m.conflicts++
		return false
	}
	clear(m.infra)
	m.note("let go of the pool")
	return m.writePool(s.Pool.ResourceVersion, func(p *v1alpha1.NodePool) { p.Finalizers = nil })
}

// checkExplained holds a plan's explanation to the plan: the same is done, in the same order, and the same waits for the same reasons.
func (m *manager) checkExplained(s Snapshot, result Result) {
	var done []string
	for _, a := range result.Actions {
		if a.Verb != Create && a.Verb != Discard { // which get their ordinals later, and may be fewer then
			done = append(done, string(a.Verb)+" "+a.Name)
		}
	}
	var told []string
	waits := map[string]int{}
	for _, d := range Explain(s).Decisions {
		switch {
		case d.Waits != "":
			waits[string(d.Verb)+" "+d.Waits]++
		case d.Verb != Create && d.Verb != Discard:
			told = append(told, string(d.Verb)+" "+d.Name)
		}
	}
	if !slices.Equal(done, told) {
		m.fail("the plan does %v, and is told as %v", done, told)
	}
	for _, d := range result.Deferred {
		if d.Reason != DeferredReservation && waits[string(d.Verb)+" "+d.Reason] != d.Count {
			m.fail("%s of %d machines waits because of %s, and is told of %d", d.Verb, d.Count, d.Reason, waits[string(d.Verb)+" "+d.Reason])
		}
	}
}
