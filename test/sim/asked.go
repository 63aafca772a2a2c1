package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// asked is what a pool asked for from a moment on.
type asked struct {
	since   time.Time
	deleted bool
	spec    v1alpha1.NodePoolSpec
	// refresh is when it asked for one; zero for never.
	refresh time.Time
}

func (a asked) replicas() int { return int(ptr.Deref(a.spec.Replicas, 1)) }

// surge is how many machines there may be beyond the replicas while some are replaced: a percentage is of these, rounded up.
func (a asked) surge() int {
	most := a.spec.Rollout.MaxSurge
	switch {
	case most == nil:
		return 1
	case most.Type == intstr.Int:
		return most.IntValue()
	default:
		percent, _ := strconv.Atoi(strings.TrimSuffix(most.StrVal, "%"))
		return (percent*a.replicas() + 99) / 100
	}
}

// room is how many machines there may be while some are replaced.
func (a asked) room() int { return a.replicas() + a.surge() }

// least is how many machines are to be available in any case: where another is made before one goes, all of them.
func (a asked) least() int {
	if a.surge() > 0 {
		return a.replicas()
	}
	return a.replicas() - a.most()
}

func (a asked) paused() bool { return ptr.Deref(a.spec.Paused, false) }

// most is how many nodes may be unavailable: a percentage is of the replicas, rounded down, and at least one.
func (a asked) most() int {
	most := a.spec.Rollout.MaxUnavailable
	switch {
	case most == nil:
		return 1
	case most.Type == intstr.Int:
		return most.IntValue()
	default:
		percent, _ := strconv.Atoi(strings.TrimSuffix(most.StrVal, "%"))
		return max(1, percent*a.replicas()/100)
	}
}

// asks notes what the pool asks for from now on.
func (w *watch) asks(pool *v1alpha1.NodePool) {
	if pool == nil {
		w.asked = append(w.asked, asked{since: w.world.now, deleted: true, spec: w.last().spec})
		return
	}
	if w.uid != string(pool.UID) {
		w.uid, w.asked = string(pool.UID), nil
	}
	w.asked = append(w.asked, asked{since: w.world.now, deleted: !pool.DeletionTimestamp.IsZero(), spec: pool.Spec, refresh: refreshOf(pool)})
}

func (w *watch) last() asked { return w.asked[len(w.asked)-1] }

// during is what the pool asked for at some time of a manager's present round: the user may edit it in the midst of one. For
// anybody else it is what it asks for now.
func (w *watch) during(m *manager) []asked {
	first := len(w.asked) - 1
	for ; m != nil && first > 0 && w.asked[first].since.After(m.begun); first-- {
	}
	return w.asked[first:]
}

// always says that something was so in all of a manager's present round.
func (w *watch) always(m *manager, is func(asked) bool) bool {
	return !slices.ContainsFunc(w.during(m), func(a asked) bool { return !is(a) })
}

// most is the greatest that a number was at any time of a manager's present round, and least the smallest.
func (w *watch) most(m *manager, number func(asked) int) int {
	most := number(w.last())
	for _, a := range w.during(m) {
		most = max(most, number(a))
	}
	return most
}

func (w *watch) least(m *manager, number func(asked) int) int {
	return -w.most(m, func(a asked) int { return -number(a) })
}
