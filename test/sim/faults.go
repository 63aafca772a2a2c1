package sim

import (
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Faults that a manager's next writes run into; manager.write has them do it.
var (
	conflict     = armedWith("somebody else writes the object first", 4)
	refusal      = armedWith("a write is refused by an error of the server", 4)
	lostResponse = armedWith("the answer to a write is lost", 5)
	crashBefore  = armedWith("the manager dies before a write", 3)
	crashAfter   = armedWith("the manager dies after a write", 5)
	twoLeaders   = armedWith("the manager hangs, and another one leads", 5)
)

func armedWith(name string, odds int) *happening {
	return &happening{
		name: name, odds: odds,
		tells: func(number int) string { return "at the next but " + strconv.Itoa(number) },
		draws: func(rng *rand.Rand, e *event) {
			e.at += random(rng, -time.Second, 30*time.Second)
			e.number = rng.IntN(8)
		},
		happens: func(w *world, e event) bool {
			w.armed = append(w.armed, armed{happening: e.happening, left: e.number})
			return false
		},
	}
}

// Faults that last.
var (
	unreachable  = lasting("the manager cannot reach the API server", 1)
	undiscovered = lasting("the facts of the cluster are not to be had", 1)
	quota        = lasting("a quota forbids Machines", 1)
	blockedDrain = lasting("a budget lets no pod go", 1)
	stillborn    = lasting("machines do not boot", 2)
)

var lateCache = &happening{
	name: "a cache is late", odds: 10,
	tells: func(number int) string { return "that of " + kind(number).String() + "s" },
	draws: func(rng *rand.Rand, e *event) {
		e.at += random(rng, -10*time.Second, 2*time.Minute)
		e.number, e.lasts = rng.IntN(int(lateKinds)), random(rng, time.Second, time.Minute)
	},
	happens: func(w *world, e event) bool {
		w.leader.caches[e.number].stuck = w.now.Add(e.lasts)
		return false // it counts when there is something that it does not show
	},
}

// Faults of machines.
var (
	partition = struckBy("nothing is heard of any machine", 1, true, func(w *world, e event) bool {
		for _, m := range w.machines() {
			w.falls(w.boxes[m.Name], &w.boxes[m.Name].silent, e.lasts)
		}
		return len(w.machines()) > 0
	})
	illMachine    = struckBy("a machine falls ill", 4, true, fallsOne(func(b *box) *time.Time { return &b.ill }))
	silentMachine = struckBy("nothing is heard of a machine", 4, true, fallsOne(func(b *box) *time.Time { return &b.silent }))
)

// fallsOne has one machine fall what the time says that a box has for it.
func fallsOne(until func(*box) *time.Time) func(*world, event) bool {
	return func(w *world, e event) bool {
		m := w.anyMachine(e.number)
		if m == nil {
			return false
		}
		b := w.boxes[m.Name]
		w.falls(b, until(b), e.lasts)
		return true
	}
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

// What somebody does whom nobody asked to.
var (
	lostStatus = struckBy("the pool's status is lost", 1, false, func(w *world, e event) bool {
		if w.pool() == nil {
			return false
		}
		w.statusIsLost()
		edit(w.api, pools, poolName, func(p *v1alpha1.NodePool) {
			if e.number%2 == 0 {
				p.Status = v1alpha1.NodePoolStatus{ObservedGeneration: -1}
			} else {
				p.Status.NextOrdinal, p.Status.Reserved = nil, nil
			}
		})
		return true
	})
	oldStatus = struckBy("an old status of the pool is put back", 1, false, func(w *world, e event) bool {
		if w.pool() == nil || len(w.statuses) == 0 {
			return false
		}
		w.statusIsLost()
		edit(w.api, pools, poolName, func(p *v1alpha1.NodePool) { p.Status = *w.statuses[e.number%len(w.statuses)].DeepCopy() })
		return true
	})
	lostAgent = struckBy("a NodeAgent is deleted", 1, false, func(w *world, e event) bool {
		m := w.anyMachine(e.number)
		return m != nil && w.api.remove(agents, m.Name, nil) == nil
	})
	// The name is that of a machine to come.
	takenName = struckBy("a foreign Node takes a name", 1, false, func(w *world, e event) bool {
		pool := w.pool()
		if pool == nil {
			return false
		}
		next, _ := strconv.Atoi(pool.Annotations[v1alpha1.NextOrdinalAnnotation])
		name := v1alpha1.MachineNamePrefix(pool) + strconv.Itoa(next+e.number%3)
		return !w.watch.made[name] && w.api.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}) == nil
	})
)

func foreign(node *corev1.Node) bool { return node.Labels[v1alpha1.PoolUIDLabel] == "" }
