package planner

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// maxUpdating is the most machines that a status names as being changed. It is the schema's.
const maxUpdating = 1000

// maxUnavailable is how many nodes of a pool may be unavailable at once for one more to be changed. A percentage is of the machines
// that the pool is to have, rounded down; what rounds to nothing is 1, so that a rollout gets on.
func maxUnavailable(pool *v1alpha1.NodePool) int {
	return min(max(scaled(pool.Spec.Rollout.MaxUnavailable, int(wantedReplicas(pool)), false), 1), maxUpdating)
}

// scaled is a number, or a percentage of one, rounded up or down. What is not set is 1, and so is what the schema does not let in.
func scaled(value *intstr.IntOrString, of int, up bool) int {
	if value == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(value, of, up)
	if err != nil {
		return 1
	}
	return n
}

// unavailability knows the nodes of a pool that are unavailable, or about to be: those that all others wait for (open), those whose
// change has begun, and those that are being deleted.
type unavailability struct {
	*rollout
	// most is how many there may be.
	most int
	// isOpen are the names of the open ones.
	isOpen map[string]bool
	// begun are the names of those whose change has begun and is not over, or begins with this plan, in the order in which they go on.
	begun []string
	// turn says of each of them that others wait for it, as the end of a sentence.
	turn map[string]string
	// place is where each of these is among those of them that are not open.
	place map[string]int
	// closed is how many of them are not open, and untold how many have yet to be told to run the target.
	closed, untold int
	// going are the names of those that are being deleted, by anybody, and have a Node, and how many more are deleted, or repaired as they
	// are, by this plan.
	going   []string
	deleted int
}

func newUnavailability(r *rollout, deleted int) *unavailability {
	u := &unavailability{rollout: r, most: maxUnavailable(r.Pool), deleted: deleted, isOpen: make(map[string]bool, len(r.open)), place: map[string]int{}, turn: map[string]string{}}
	for _, m := range r.open {
		u.isOpen[m.Name] = true
	}
	for _, m := range r.resting() {
		u.turn[m.Name] = r.state(m)
	}
	for _, m := range r.begunMembers() {
		u.begin(m.Name)
		if m.told == r.target {
			u.untold--
		}
	}
	for _, m := range r.leaving {
		if m.Status.NodeRef.IsDefined() {
			u.going = append(u.going, m.Name)
		}
	}
	return u
}

// begin notes that the change of a machine begins.
func (u *unavailability) begin(name string) {
	if _, already := u.place[name]; already {
		return
	}
	u.begun = append(u.begun, name)
	if u.turn[name] == "" {
		u.turn[name] = "is changed first"
	}
	u.place[name] = u.closed
	u.untold++
	if !u.isOpen[name] {
		u.closed++
	}
}

// besides is how many nodes are unavailable, or go before it, besides one that is to be changed. One whose change has begun is
// disturbed already, and goes on whatever is being deleted meanwhile; of several, more of which there are only where a status was lost or
// the limit lowered, the first go on.
func (u *unavailability) besides(name string) int {
	n := len(u.open)
	if u.isOpen[name] {
		n--
	}
	if place, begun := u.place[name]; begun {
		return n + place
	}
	return n + u.closed + len(u.going) + u.deleted
}

// said has a sentence for each node that is unavailable, or goes before it, besides one that is to be changed; at most so many.
func (u *unavailability) said(name string, most int) []string {
	var list []string
	for _, m := range u.open {
		if m.Name != name && len(list) < most {
			list = append(list, m.Name+" "+u.state(m))
		}
	}
	place, begun := u.place[name]
	for _, other := range u.begun {
		if len(list) < most && !u.isOpen[other] && (!begun || u.place[other] < place) {
			list = append(list, other+" "+u.turn[other])
		}
	}
	if begun {
		return list
	}
	for _, other := range u.going[:min(len(u.going), most-len(list))] {
		list = append(list, other+" is being deleted")
	}
	if u.deleted > 0 && len(list) < most {
		list = append(list, "machines are being deleted or repaired")
	}
	return list
}

// why says what a machine waits for that has to wait.
func (u *unavailability) why(name string) (reason, message string) {
	if u.most == 1 {
		return DeferredRollout, u.said(name, 1)[0]
	}
	n := u.besides(name)
	return DeferredMaxUnavailable, fmt.Sprintf("%d may be unavailable at once, and %s: %s", u.most, counted(n, "is", "are"), strings.Join(u.said(name, maxSample), ", "))
}

// tooManyUnavailable lets a change of a node begin only while fewer of the pool's nodes are unavailable than may be. Machines without
// a Node are free.
func tooManyUnavailable(l *ledger, p *Proposal) (string, string) {
	if p.Verb != Update || !p.Disrupts || p.Name == l.rollout.uncured() {
		return "", ""
	}
	u := l.unavailability()
	if u.besides(p.Name) < u.most {
		return "", ""
	}
	if l.isDeferred(Update, DeferredMaxUnavailable) {
		return DeferredMaxUnavailable, "" // What the first waits for is said.
	}
	return u.why(p.Name)
}

// unavailability is what the pool's nodes are before any Update is considered; that comes after all that is more urgent.
func (l *ledger) unavailability() *unavailability {
	if l.unavailable == nil {
		l.unavailable = newUnavailability(l.rollout, l.disrupted[Delete]+l.disrupted[Treat])
	}
	return l.unavailable
}

func (l *ledger) isDeferred(verb Verb, reason string) bool {
	return slices.ContainsFunc(l.deferred, func(d Deferral) bool { return d.Verb == verb && d.Reason == reason })
}
