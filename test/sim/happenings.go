package sim

import (
	"math/rand/v2"
	"slices"
	"time"
)

// faults are all that strike. Each stands beside what it does, as do the edits that users make, in edits.
var faults = []*happening{
	conflict, refusal, lostResponse, crashBefore, crashAfter, twoLeaders,
	unreachable, undiscovered, quota, blockedDrain, stillborn,
	partition, lateCache, illMachine, silentMachine, healthCheck, lostStatus, oldStatus, takenName, lostAgent,
}

var edits = []*happening{
	editReplicas, editTemplate, editBack, editLabels, editPause, editResume, editRollout, editRepair, deleteMachine, deleteFirst, leaveAlone, leaveNoMore, deletePool,
	throwStop, endStop, editBudgets, editDrainTimeout, editBlocked, editExpiry, editRefresh, editRelease,
}

// happening is a fault, or an edit that a user makes.
type happening struct {
	name string
	// odds is how likely it is beside the other faults, or the other edits.
	odds int
	// edit says that a user makes it.
	edit bool
	// whileDeleted says that users make it also on a pool that is being deleted.
	whileDeleted bool
	// draws decides on an event of it what is not decided yet. For a fault the event has the time of the edit that it is to disturb.
	draws func(*rand.Rand, *event)
	// tells says what the number of such an event means. Nil: which one of those that are there at that time.
	tells func(number int) string
	// happens has it happen. It says whether it met something. What waits for somebody to run into it meets nothing yet.
	happens func(*world, event) bool
}

// struckBy is a fault that strikes at once, and may last.
func struckBy(name string, odds int, lasts bool, happens func(*world, event) bool) *happening {
	return &happening{name: name, odds: odds, happens: happens, draws: func(rng *rand.Rand, e *event) {
		e.at += random(rng, -20*time.Second, 5*time.Minute)
		if lasts {
			e.lasts = random(rng, 2*time.Second, 10*time.Minute)
		}
	}}
}

// lasting is a fault that is there for a while. Who runs into it asks whether it lasts, and says so by struck.
func lasting(name string, odds int) *happening {
	return struckBy(name, odds, true, func(w *world, e event) bool {
		w.until[e.happening] = later(w.until[e.happening], w.now.Add(e.lasts))
		return false
	})
}

// edited is an edit of a pool that is not being deleted. It met something when anything was written.
func edited(name string, odds int, how func(*world, event)) *happening {
	return &happening{name: name, odds: odds, edit: true, draws: func(*rand.Rand, *event) {}, happens: func(w *world, e event) bool {
		version := w.api.version
		if pool := w.pool(); pool == nil || !pool.DeletionTimestamp.IsZero() && !e.whileDeleted {
			return false
		}
		how(w, e)
		return w.api.version > version
	}}
}

// happen has an event happen.
func (w *world) happen(e event) {
	if e.spare && w.options.Only == nil && w.tally.enough(e.edit) {
		return
	}
	w.happened = append(w.happened, e)
	w.say("  %s", e.what())
	if e.happens(w, e) {
		w.count(e.happening)
	}
}

func (w *world) count(happened *happening) {
	w.tally.Happened[happened.name]++
	if happened.edit {
		w.tally.Edits++
		w.tally.editsToday++
	} else {
		w.tally.Faults++
		w.tally.faultsToday++
	}
}

// lasts says that a fault which lasts does so now. Who asks runs into it if it does.
func (w *world) lasts(fault *happening) bool {
	if !w.until[fault].After(w.now) {
		return false
	}
	if !w.counted[fault].Equal(w.until[fault]) {
		w.counted[fault] = w.until[fault]
		w.count(fault)
	}
	return true
}

// armed is a fault that strikes after so many writes.
type armed struct {
	*happening
	left int
}

// strike is the fault that a manager's write runs into; nil for none.
func (w *world) strike(m *manager) *happening {
	for i := range w.armed {
		a := &w.armed[i]
		if a.happening == twoLeaders && m.deposed {
			continue
		}
		if a.left--; a.left < 0 {
			fault := a.happening
			w.armed = slices.Delete(w.armed, i, i+1)
			w.count(fault)
			return fault
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
