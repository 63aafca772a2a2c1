package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// happen has an event happen. One that meets something counts at once; a fault that waits for somebody to run into it counts when
// that is so.
func (w *world) happen(e event) {
	w.say("  %s", strings.TrimLeft(strings.TrimPrefix(e.String(), clock(e.at)), " "))
	switch {
	case e.what <= twoLeaders:
		w.armed = append(w.armed, armed{what: e.what, left: e.number})
	case e.what <= stillborn:
		w.until[e.what] = later(w.until[e.what], w.now.Add(e.lasts))
	case e.isEdit():
		if w.userDoes(e) {
			w.count(e.what)
		}
	default:
		if w.strikes(e) {
			w.count(e.what)
		}
	}
}

func (w *world) count(happened what) {
	w.tally.Happened[whatNames[happened]]++
	if happened.isEdit() {
		w.tally.Edits++
	} else {
		w.tally.Faults++
	}
}

// struck counts a fault that somebody ran into: one that lasts, once.
func (w *world) struck(fault what) {
	if fault > twoLeaders {
		if w.counted[fault].Equal(w.until[fault]) {
			return
		}
		w.counted[fault] = w.until[fault]
	}
	w.count(fault)
}

// strike is the fault that a manager's write runs into, if there is one.
func (w *world) strike(m *manager) (what, bool) {
	for i := range w.armed {
		a := &w.armed[i]
		if a.what == twoLeaders && m.deposed {
			continue
		}
		if a.left--; a.left < 0 {
			fault := a.what
			w.armed = slices.Delete(w.armed, i, i+1)
			return fault, true
		}
	}
	return 0, false
}

// strikes has a fault strike that waits for nobody. It says whether there was anything to strike.
func (w *world) strikes(e event) bool {
	switch e.what {
	case partition:
		for _, m := range w.machines() {
			w.falls(w.boxes[m.Name], &w.boxes[m.Name].silent, e.lasts)
		}
		return len(w.machines()) > 0
	case lateCache:
		w.leader.caches[e.number].stuck = w.now.Add(e.lasts)
		return true
	case illMachine, silentMachine:
		m := w.anyMachine(e.number)
		if m == nil {
			return false
		}
		b := w.boxes[m.Name]
		which := &b.ill
		if e.what == silentMachine {
			which = &b.silent
		}
		w.falls(b, which, e.lasts)
		return true
	case lostStatus, oldStatus:
		return w.loseStatus(e)
	case takenName:
		return w.takeName(e.number)
	case lostAgent:
		m := w.anyMachine(e.number)
		return m != nil && w.api.remove(agents, m.Name, nil) == nil
	}
	return false
}

// falls has a machine fall ill or silent, and come back.
func (w *world) falls(b *box, until *time.Time, lasts time.Duration) {
	*until = later(*until, w.now.Add(lasts))
	b.struck = w.now
	w.refresh(b)
	w.after(lasts, func() { w.comesBack(b) })
}

func (w *world) comesBack(b *box) {
	w.refresh(b)
	w.kick(b.name)
}

// loseStatus has somebody remove the pool's status, or a part of it, or put an old one back.
func (w *world) loseStatus(e event) bool {
	if w.pool() == nil || e.what == oldStatus && len(w.statuses) == 0 {
		return false
	}
	w.watch.lost = w.now
	for _, object := range w.api.tables[infra] { // what the status reserved them for is lost with it
		w.watch.excused[object.GetName()] = w.machine(object.GetName()) == nil
	}
	edit(w.api, pools, poolName, func(p *v1alpha1.NodePool) {
		switch {
		case e.what == oldStatus:
			p.Status = *w.statuses[e.number%len(w.statuses)].DeepCopy()
		case e.number%2 == 0:
			p.Status = v1alpha1.NodePoolStatus{ObservedGeneration: -1}
		default:
			p.Status.NextOrdinal, p.Status.Reserved = nil, nil
		}
	})
	return true
}

// takeName makes a foreign Node with the name of a machine to come.
func (w *world) takeName(number int) bool {
	pool := w.pool()
	if pool == nil {
		return false
	}
	next, _ := strconv.Atoi(pool.Annotations[v1alpha1.NextOrdinalAnnotation])
	name := v1alpha1.MachineNamePrefix(pool) + strconv.Itoa(next+number%3)
	if w.watch.made[name] {
		return false
	}
	return w.api.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}) == nil
}

// heal ends all faults, and has the users leave the pool as it can be.
func (w *world) heal() {
	w.say("all faults end")
	w.armed = nil
	w.until = [whats]time.Time{}
	for _, m := range w.machines() {
		b := w.boxes[m.Name]
		b.silent, b.ill = time.Time{}, time.Time{}
		if node := w.node(m.Name); node != nil && foreign(node) {
			_ = w.api.remove(nodes, node.Name, nil)
		}
		switch {
		case !b.booted:
			w.boot(b)
		case b.good != "" && w.node(m.Name) == nil:
			w.join(b) // the foreign Node was in its way
		}
		w.comesBack(b)
	}
	w.leaveAsItCanBe()
	w.after(time.Minute, w.replaceWhatCannotBe)
}

// replaceWhatCannotBe is a user who deletes what never came up and was made from other infrastructure than the pool asks for now: no
// change in place is its cure, and the pool says so.
func (w *world) replaceWhatCannotBe() {
	pool := w.pool()
	for _, m := range w.machines() {
		if pool != nil && w.boxes[m.Name].good == "" && w.elsewhere(m.Labels[v1alpha1.RevisionLabel], pool.Status.Revision) {
			w.say("a user deletes %s, which never came up and needs replacement", m.Name)
			_ = w.api.remove(machines, m.Name, nil)
		}
	}
}

func foreign(node *corev1.Node) bool { return node.Labels[v1alpha1.PoolUIDLabel] == "" }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// machines are those that stay, by name.
func (w *world) machines() []*clusterv1.Machine {
	var list []*clusterv1.Machine
	for _, object := range w.api.tables[machines] {
		if m := as[*clusterv1.Machine](object); m.DeletionTimestamp.IsZero() {
			list = append(list, m)
		}
	}
	return list
}

func (w *world) anyMachine(number int) *clusterv1.Machine {
	list := w.machines()
	if len(list) == 0 {
		return nil
	}
	return list[number%len(list)]
}

// user is who edits the pool.
type user struct {
	// template is what the pool asks for, and before what it asked for until the last edit. good is the last that works.
	template, before, good template
}

var (
	versions = []string{"v1.36.5", "v1.37.2"}
	sizes    = []string{"small", "large"}
)

// template is what a user asks for.
type template struct {
	version, size string
	maxPods       int32
	label         string
}

func (t template) String() string {
	text := fmt.Sprintf("%s, maxPods %d, %s", t.version, t.maxPods, t.size)
	if bad(t.maxPods) {
		text += ", which no node comes up with"
	}
	return text
}

// bad says that no kubelet comes up with a setting.
func bad(maxPods int32) bool { return maxPods >= 200 }

// templateOf is one of those that users think of.
func templateOf(number int) template {
	t := template{version: versions[0], size: sizes[0], maxPods: int32(100 + number%6)} //nolint:gosec // small
	if number%4 == 0 {
		t.maxPods += 100
	}
	if number%3 == 0 {
		t.version = versions[1]
	}
	if number%11 == 0 {
		t.size = sizes[1]
	}
	return t
}

func (t template) write(p *v1alpha1.NodePool) {
	spec := &p.Spec.Template.Spec
	spec.Version, spec.Kubelet.MaxPods = t.version, ptr.To(t.maxPods)
	spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: kindNames[templates], Name: t.size}
	p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": v1alpha1.LabelValue(t.label)}
}

// howRollsOut is how a user has a pool roll out.
type howRollsOut struct {
	// most is how many nodes may be unavailable.
	most string
	// canary is how many nodes go first, and soaks for how many seconds; ready is how many seconds each has to stay well.
	canary, soaks, ready int32
}

// rollouts are those that users think of.
var rollouts = []howRollsOut{
	{most: "1"}, {most: "2"}, {most: "3"}, {most: "10%"}, {most: "60%"}, {most: "100%"}, {most: "1", ready: 30}, {most: "3", ready: 120},
	{most: "2", canary: 1, soaks: 60}, {most: "100%", canary: 2}, {most: "3", canary: 9, soaks: 300, ready: 10},
}

func rolloutOf(number int) howRollsOut { return rollouts[number%len(rollouts)] }

func (h howRollsOut) String() string {
	text := h.most + " may be unavailable"
	if h.canary > 0 {
		text += fmt.Sprintf(", a canary of %d for %d seconds", h.canary, h.soaks)
	}
	if h.ready > 0 {
		text += fmt.Sprintf(", each ready for %d seconds", h.ready)
	}
	return text
}

func (h howRollsOut) write(p *v1alpha1.NodePool) {
	p.Spec.Rollout = v1alpha1.NodePoolRollout{MaxUnavailable: ptr.To(intstr.Parse(h.most)), MinReadySeconds: &h.ready}
	if h.canary > 0 {
		p.Spec.Rollout.Canary = &v1alpha1.RolloutCanary{Replicas: &h.canary, SoakSeconds: &h.soaks}
	}
}

// createPool makes the pool, for the first time or anew.
func (w *world) createPool() {
	if w.pool() != nil {
		return
	}
	if bad(w.user.template.maxPods) {
		w.user.template = templateOf(1)
	}
	w.user.before, w.user.good = w.user.template, w.user.template
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: poolName}}
	pool.Spec.Replicas = ptr.To(int32(1 + w.throw("replicas", "", w.api.version)%4)) //nolint:gosec // small
	w.user.template.write(pool)
	if err := w.api.create(pool); err != nil {
		panic(err)
	}
}

// userDoes says whether there was anything to edit.
func (w *world) userDoes(e event) bool {
	pool := w.pool()
	if pool == nil || !pool.DeletionTimestamp.IsZero() && e.what != editPause && e.what != editResume {
		return false
	}
	version := w.api.version
	switch e.what {
	case editReplicas:
		w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To(int32(e.number)) }) //nolint:gosec // small
	case editTemplate:
		next := templateOf(e.number)
		next.label = w.user.template.label
		w.ask(next)
	case editBack:
		w.ask(w.user.before)
	case editLabels:
		next := w.user.template
		next.label = strconv.Itoa(e.number)
		w.ask(next)
	case editPause, editResume:
		w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Paused = ptr.To(e.what == editPause) })
	case editRollout:
		w.editPool(rolloutOf(e.number).write)
	case deletePool:
		_ = w.api.remove(pools, poolName, nil)
	case deleteMachine:
		if m := w.anyMachine(e.number); m != nil {
			_ = w.api.remove(machines, m.Name, nil)
		}
	case deleteFirst:
		if m := w.anyMachine(e.number); m != nil {
			edit(w.api, machines, m.Name, func(m *clusterv1.Machine) {
				metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.DeleteFirstAnnotation, "")
			})
		}
	}
	return w.api.version > version
}

func (w *world) editPool(how func(*v1alpha1.NodePool)) { edit(w.api, pools, poolName, how) }

// ask sets the pool's template.
func (w *world) ask(next template) {
	if next == w.user.template {
		return
	}
	w.user.before, w.user.template = w.user.template, next
	if !bad(next.maxPods) {
		w.user.good = next
	}
	w.editPool(next.write)
}

// leaveAsItCanBe is a user who goes home: nothing stays paused, and nothing is asked for that cannot be.
func (w *world) leaveAsItCanBe() {
	w.editPool(func(p *v1alpha1.NodePool) { p.Spec.Paused = nil })
	if bad(w.user.template.maxPods) {
		w.ask(w.user.good)
	}
}
