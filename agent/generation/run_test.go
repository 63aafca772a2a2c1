package generation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// rig is an Installer on a machine that is none, and what was done to it. All of it happens in a bubble of synctest.
type rig struct {
	*Installer
	t *testing.T
	// seen orders what the test does before time passes and what is done to the machine meanwhile.
	seen sync.Mutex
	// fail has why a step of a revision fails, by "r1 fetch"; flawed is a revision whose machine was found wanting.
	fail    map[string]error
	flawed  string
	slow    map[string]time.Duration
	done    []string
	over    []string // those of done that came to their end
	settled []string // the revisions whose bundles were made durable, or were to be
	asked   bool     // done begins with what was asked for last
	changes int
	changed func()
	judge   func(revision string) Verdict
	stop    func()
	dir     string
}

func revision(name string, number int64) *v1alpha1.NodeAgent {
	return &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: number}, Spec: v1alpha1.NodeAgentSpec{Revision: name}}
}

func newRig(t *testing.T, kept bool) *rig {
	r := &rig{t: t, fail: map[string]error{}, slow: map[string]time.Duration{}, changed: func() {}, judge: func(string) Verdict { return Verdict{Healthy: true} }}
	r.dir = t.TempDir()
	if kept {
		store, state, err := Open(r.dir, "n")
		state.Good = r.first().At("10.0.0.1", 1500)
		if err = errors.Join(err, store.Write(state)); err != nil {
			t.Fatal(err)
		}
	}
	r.begin()
	return r
}

func (r *rig) first() *Generation {
	first := &Generation{}
	first.NodeName, first.Spec.Revision = "n", "r1"
	return first
}

// begin is a new agent on the machine.
func (r *rig) begin() {
	r.Installer = &Installer{
		Log: logr.Discard(), NewWork: func() Work { return &fakeWork{r} }, Hindered: func(*Obstacle) {}, Changed: r.change,
		Judge: func(context.Context) Verdict {
			revision := r.Running().Spec.Revision
			r.seen.Lock()
			defer r.seen.Unlock()
			return r.judge(revision)
		},
	}
	store, state, err := Open(r.dir, "n")
	if err != nil {
		r.t.Fatal(err)
	}
	r.Begin(store, state, r.first())
}

func (r *rig) change() {
	r.seen.Lock()
	defer r.seen.Unlock()
	r.changes++
	r.changed()
}

// kept is what a restart would begin with.
func (r *rig) kept() *State {
	_, state, err := Open(r.dir, "n")
	if err != nil {
		r.t.Fatal(err)
	}
	return &state
}

// start has it run until the test has ended.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	r.stop = func() { cancel(); <-ended }
	synctest.Wait()
}

// Want and Rebuild have what follows count as done after them: it may be done before the test goes on.
func (r *rig) Want(agent *v1alpha1.NodeAgent) {
	r.forget()
	r.asked = true
	r.Installer.Want(agent)
}

func (r *rig) Rebuild() {
	r.forget()
	r.asked = true
	r.Installer.Rebuild()
}

func (r *rig) forget() {
	r.seen.Lock()
	defer r.seen.Unlock()
	r.done = nil
}

// after lets time pass and returns what was done meanwhile.
func (r *rig) after(d time.Duration) string {
	if !r.asked {
		r.forget()
	}
	r.asked = false
	time.Sleep(d)
	synctest.Wait()
	return strings.Join(r.done, ", ")
}

func (r *rig) state() string {
	state := "runs " + r.Running().String()
	if r.Up() == nil {
		state = "shows " + r.Running().String()
	}
	if o := r.Obstacle(); o != nil {
		state += fmt.Sprintf("; %s: %s", o.Reason, o.Message)
	}
	return state
}

func (r *rig) want(want string) {
	r.t.Helper()
	if got := r.state(); got != want {
		r.t.Errorf("it %s, want it %s", got, want)
	}
}

// full has no state be written any more, until there is room again.
func (r *rig) full() (room func()) {
	r.t.Helper()
	journal, aside := JournalPath(r.dir), r.dir+"/aside"
	if err := errors.Join(os.Rename(journal, aside), os.Mkdir(journal, 0o755)); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(journal), os.Rename(aside, journal)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// errPanic has a step panic.
var errPanic = errors.New("a panic")

type fakeWork struct{ *rig }

func (w *fakeWork) step(ctx context.Context, g *Generation, name string) error {
	name = g.Spec.Revision + " " + name
	w.seen.Lock()
	w.done = append(w.done, name)
	takes := w.slow[name]
	w.seen.Unlock()
	select {
	case <-time.After(takes):
		w.seen.Lock()
		defer w.seen.Unlock()
		w.over = append(w.over, name)
		if errors.Is(w.fail[name], errPanic) {
			panic("nobody thought of it")
		}
		return w.fail[name]
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *fakeWork) Check(ctx context.Context, g, before *Generation) error {
	if before != nil {
		return w.step(ctx, g, "check again")
	}
	return w.step(ctx, g, "check")
}
func (w *fakeWork) Fetch(ctx context.Context, g *Generation) error { return w.step(ctx, g, "fetch") }
func (w *fakeWork) Settle(g *Generation) error {
	w.seen.Lock()
	defer w.seen.Unlock()
	w.settled = append(w.settled, g.Spec.Revision)
	return w.fail[g.Spec.Revision+" settle"]
}
func (w *fakeWork) Look(ctx context.Context, g *Generation)    { _ = w.step(ctx, g, "look") }
func (w *fakeWork) Collect(ctx context.Context, g *Generation) { _ = w.step(ctx, g, "collect") }
func (w *fakeWork) Flawed() bool {
	w.seen.Lock()
	defer w.seen.Unlock()
	return w.flawed == w.running.Spec.Revision
}
func (w *fakeWork) Plan(ctx context.Context, g *Generation) (Change, error) {
	change := Change{Generation: g.At("10.0.0.1", 1500), Apply: func() error { return w.step(ctx, g, "apply") }}
	w.seen.Lock()
	takes := w.slow[g.Spec.Revision+" plan"]
	w.seen.Unlock()
	time.Sleep(takes)
	w.seen.Lock()
	defer w.seen.Unlock()
	err := w.fail[g.Spec.Revision+" plan"]
	if errors.Is(err, errPanic) {
		panic("nobody thought of it")
	}
	return change, err
}

func TestAStepThatPanicsLeavesWhatRuns(t *testing.T) {
	for _, step := range []string{"check", "fetch", "plan"} {
		bubble(t, true, func(r *rig) {
			r.start()
			r.after(time.Second)
			r.fail["r2 "+step] = errPanic
			r.Want(revision("r2", 2))
			r.after(time.Minute)
			if got := r.state(); !strings.HasPrefix(got, "runs r1 ") || !strings.Contains(got, "the agent has a fault in its "+step+": nobody thought of it") {
				t.Errorf("it %s", got)
			}
			if state := r.kept(); state.Candidate != nil || state.Failed != nil {
				t.Errorf("the journal has %+v", state)
			}
			r.Rebuild()
			if got := r.after(time.Second); !strings.Contains(got, "r1 apply") {
				t.Errorf("what runs is not kept: %s", got)
			}
			delete(r.fail, "r2 "+step)
			r.after(2 * time.Minute)
			r.want("runs r2 (generation 2)")
		})
	}
}

func bubble(t *testing.T, kept bool, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, kept)
		defer func() { r.stop() }()
		test(r)
	})
}

var errNoRoute, errNoRoom = errors.New("no route to host"), errors.New("no space left")

func TestANewMachineIsCheckedFetchedForAndActivatedOnce(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		if got := strings.Join(r.done, ", "); got != "r1 check, r1 fetch, r1 apply" {
			t.Errorf("it did: %s", got)
		}
		r.Want(revision("r1", 1))
		if got := r.after(0); got != "" {
			t.Errorf("with the same wanted it did: %s", got)
		}
		before := r.changes
		r.Want(revision("r1", 1)) // each write of the status is an event, too
		synctest.Wait()
		if r.changes != before {
			t.Error("the status is to be written because it was written")
		}
		r.want("runs r1 (generation 1)")
		if got := r.kept().Kept(); got.Spec.Revision != "r1" || got.NodeIP != "10.0.0.1" {
			t.Errorf("a restart would begin with %v", got)
		}
	})
}

func TestALaterGenerationOfTheSameStateIsShownThoughItComesInTheMidst(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.slow["r1 apply"] = time.Second
		r.start()
		r.Want(revision("r1", 2))
		r.after(time.Second)
		r.want("runs r1 (generation 2)")
		r.slow["r2 apply"] = time.Second
		r.Want(revision("r2", 3))
		synctest.Wait()
		r.Want(revision("r2", 4))
		r.after(time.Second)
		r.want("runs r2 (generation 4)")
	})
}

func TestTheNewestStateWins(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.slow["r2 fetch"] = time.Hour
		for number, name := range []string{"r1", "r2", "r2"} {
			r.Want(revision(name, int64(number)))
		}
		synctest.Wait()
		r.want("runs r1 (generation 0)")
		r.Want(revision("r3", 3))
		if got := r.after(0); got != "r3 check, r3 fetch, r3 apply" {
			t.Errorf("with r3 wanted it did: %s", got)
		}
		r.want("runs r3 (generation 3)")
		r.Want(revision("r1", 4))
		synctest.Wait()
		r.want("runs r1 (generation 4)") // going back is a new state, too
	})
}

// Of several API servers one may answer from a cache that is behind, also after a restart of the agent.
func TestAnOlderGenerationIsNotGoneBackTo(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.Want(revision("r2", 2))
		synctest.Wait()
		r.Want(revision("r1", 1))
		if got := r.after(time.Minute); got != "" {
			t.Errorf("it did: %s", got)
		}
		r.want("runs r2 (generation 2)")

		r.Want(revision("r3", 3))
		synctest.Wait()
		r.slow["r4 fetch"] = time.Hour
		r.Want(revision("r4", 4))
		synctest.Wait()
		r.Want(revision("r3", 5))
		synctest.Wait()
		if kept := r.kept().Kept(); !kept.Outdates(revision("r4", 4)) {
			t.Errorf("a restart would begin with %v, and have r4 a second time", kept)
		}

		again := revision("r1", 1)
		again.UID = "made anew"
		r.Want(again)
		synctest.Wait()
		r.want("runs r1 (generation 1)")
	})
}

func TestAnObstacleStaysUntilItsStepIsPassed(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.fail["r1 fetch"] = errNoRoute
		r.start()
		r.want("shows r1 (generation 0); BundleFetchFailed: no route to host")
		r.slow["r2 fetch"] = time.Second
		r.Want(revision("r2", 2))
		if got := r.after(0); got != "r2 check, r2 fetch" {
			t.Errorf("with r2 wanted it did: %s", got)
		}
		r.want("shows r1 (generation 0); BundleFetchFailed: no route to host") // the preflight took nothing out of the way
		r.after(time.Second)
		r.want("runs r2 (generation 2)")
	})
}

func TestAFailedFetchIsTriedLessAndLessOften(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.fail["r1 fetch"] = errNoRoute
		r.start()
		for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			r.Want(revision("r1", int64(wait))) // the event of the status that the failure was written into changes nothing
			r.done = nil
			failed := time.Now()
			for len(r.done) == 0 {
				r.after(time.Millisecond)
			}
			if waited := time.Since(failed); waited < wait || waited > wait+wait/5+time.Millisecond {
				t.Errorf("it tried again after %s, want %s or up to a fifth more", waited, wait)
			}
		}
		r.after(time.Hour)
		if got := r.after(72 * time.Second); !strings.HasPrefix(got, "r1 fetch") {
			t.Errorf("after an hour, in a minute and a fifth it did: %q", got)
		}
	})
}

func TestWhatRunsIsKeptWhileItsSuccessorCannotBeHad(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.fail["r2 fetch"] = errNoRoute
		r.Want(revision("r2", 2))
		synctest.Wait()
		r.want("runs r1 (generation 0); BundleFetchFailed: no route to host")
		if o := r.Obstacle(); !o.Running {
			t.Error("the obstacle does not say that a state goes on")
		}

		r.Rebuild()
		if got := r.after(0); got != "r1 apply" {
			t.Errorf("when the Node's range changed it did: %s", got)
		}
		r.flawed = "r1"
		if got := r.after(mendEvery); !strings.Contains(got, "r1 check again, r1 apply") {
			t.Errorf("with something in the way of r1 it did: %s", got)
		}
		r.flawed = ""
		if got := r.after(lookEvery); !strings.Contains(got, "r1 look") || strings.Contains(got, "r1 apply") {
			t.Errorf("in the time of a look it did: %s", got)
		}
		if got := r.after(collectEvery); strings.Contains(got, "collect") {
			t.Error("bundles were removed while one is fetched")
		}
		r.want("runs r1 (generation 0); BundleFetchFailed: no route to host")

		delete(r.fail, "r2 fetch")
		r.after(2 * time.Minute)
		r.want("runs r2 (generation 2)")
	})
}

// As with a configuration that cannot be rendered, or a disk that does not take it down.
func TestWhatRunsIsKeptWhileItsSuccessorCannotBeBegun(t *testing.T) {
	for name, c := range map[string]func(r *rig) (mend func()){
		"not planned": func(r *rig) func() {
			r.fail["r2 plan"] = errNoRoom
			return func() { delete(r.fail, "r2 plan") }
		},
		"not written": func(r *rig) func() { return r.full() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, false, func(r *rig) {
				r.proved()
				mend := c(r)
				r.Want(revision("r2", 2))
				if got := r.after(time.Hour); strings.Contains(got, "apply") || r.phase() != v1alpha1.PhaseStaging || r.Obstacle() == nil || !r.Obstacle().Running {
					t.Errorf("it %s, is %s, and did: %s", r.state(), r.phase(), got)
				}
				r.Rebuild()
				if got := r.after(0); got != "r1 apply" {
					t.Errorf("when the Node's range changed it did: %q", got)
				}
				r.flawed = "r1"
				if got := r.after(mendEvery); got != "r1 check again, r1 apply" {
					t.Errorf("with something in the way of r1 it did: %q", got)
				}
				r.flawed = ""
				mend()
				r.after(2 * time.Minute)
				r.want("runs r2 (generation 2)")
				if r.good() != "r2" {
					t.Errorf("%s is good", r.good())
				}
			})
		})
	}
}

// A fetch takes as long as the registry likes.
func TestWhatRunsIsKeptWhileItsSuccessorIsFetched(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.slow["r2 fetch"] = time.Hour
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.Rebuild()
		if got := r.after(0); got != "r1 apply" {
			t.Errorf("when the Node's range changed it did: %q", got)
		}
	})
}

func TestAnActivationThatFailedIsMadeOnceThereIsRoom(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		synctest.Wait()
		r.want("runs r1 (generation 0); PreflightFailed: no space left")
		r.flawed = "r1"
		if got := r.after(mendEvery); strings.Contains(got, "r1") {
			t.Errorf("the machine is between two states, of which the old one was written over the new: %s", got)
		}
		r.flawed = ""
		r.Rebuild()
		if got := r.after(0); got != "r2 apply" {
			t.Errorf("when the Node's range changed it did: %q", got)
		}
		delete(r.fail, "r2 apply")
		r.after(time.Minute)
		r.want("runs r2 (generation 2)")
	})
}

func TestWhoGoesBackFromAFailedActivationHasTheOldStateAppliedAgain(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		synctest.Wait()
		r.Want(revision("r1", 3))
		if got := r.after(0); got != "r1 apply" {
			t.Errorf("it did: %q", got)
		}
		r.want("runs r1 (generation 3)")
		if got := r.after(time.Minute); got != "" {
			t.Errorf("then it did: %s", got)
		}
		if got := r.kept().Kept(); got.Spec.Revision != "r1" {
			t.Errorf("a restart would begin with %v", got)
		}
	})
}

func TestUpkeepThatFailedIsTriedAgainAndSaid(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.fail["r1 apply"] = errNoRoom
		r.Rebuild()
		r.after(0)
		r.want("runs r1 (generation 0); PreflightFailed: no space left")
		if got := r.after(mendEvery); got != "r1 check again, r1 apply" {
			t.Errorf("it did: %q", got)
		}
		r.want("runs r1 (generation 0); PreflightFailed: no space left")
		delete(r.fail, "r1 apply")
		r.after(mendEvery)
		r.want("runs r1 (generation 0)")
		if got := r.after(mendEvery); got != "" {
			t.Errorf("with nothing wrong it did: %s", got)
		}
	})
}

func TestWhatRanBeforeComesBackFirst(t *testing.T) {
	bubble(t, true, func(r *rig) {
		r.slow["r1 check again"] = time.Second
		r.start()
		r.Want(revision("r2", 2))
		if got := r.after(2 * time.Second); got != "r2 check, r2 fetch, r1 fetch, r1 apply, r2 apply" {
			t.Errorf("it did: %s", got)
		}
		r.want("runs r2 (generation 2)")
	})
}

// Whatever becomes of the wanted state, and even where what ran before cannot be had at once.
func TestWhatRanBeforeComesBackThoughItsSuccessorCannotBeHad(t *testing.T) {
	bubble(t, true, func(r *rig) {
		r.fail["r2 fetch"], r.fail["r1 apply"] = errNoRoute, errNoRoom
		r.start()
		r.Want(revision("r2", 2))
		r.after(time.Second)
		r.want("shows r1 (generation 0); BundleFetchFailed: no route to host")
		delete(r.fail, "r1 apply")
		r.after(time.Minute)
		r.want("runs r1 (generation 0); BundleFetchFailed: no route to host")
	})
}

func TestASuccessorMayMendWhatCannotComeBack(t *testing.T) {
	bubble(t, true, func(r *rig) {
		r.fail["r1 fetch"] = errNoRoute
		r.start()
		r.want("shows r1 (generation 0); BundleFetchFailed: no route to host")
		r.Want(revision("r2", 2))
		r.after(0)
		r.want("runs r2 (generation 2)")
		if got := r.after(time.Minute); got != "" {
			t.Errorf("then it did: %s", got)
		}
	})
}

func TestASuccessorNeedNotWaitForWhatCannotComeBack(t *testing.T) {
	bubble(t, true, func(r *rig) {
		r.slow["r1 check again"], r.fail["r1 check again"] = time.Second, errNoRoom
		r.start()
		r.Want(revision("r2", 2))
		r.after(time.Second - time.Millisecond)
		r.want("shows r1 (generation 0)")
		r.after(time.Millisecond)
		r.want("runs r2 (generation 2)")
	})
}

// What a check does to the machine would be the last that was done to it.
func TestWhatRanBeforeIsNotMadeReadyWhileItsSuccessorIsActivated(t *testing.T) {
	for name, apply := range map[string]error{"works": nil, "fails": errNoRoom} {
		t.Run(name, func(t *testing.T) {
			bubble(t, true, func(r *rig) {
				r.slow["r1 check again"], r.fail["r1 check again"] = 4*time.Second, errNoRoom // and again 14 to 16 seconds after the start
				r.slow["r2 fetch"], r.slow["r2 apply"], r.fail["r2 apply"] = 17*time.Second, 5*time.Second, apply
				r.start()
				r.Want(revision("r2", 2))
				r.after(17*time.Second - time.Millisecond)
				r.over = nil
				r.after(5 * time.Second)
				if got := strings.Join(r.over, ", "); got != "r2 fetch" {
					t.Errorf("these were done: %s", got)
				}
				if delete(r.fail, "r1 check again"); apply != nil {
					r.after(mendEvery)
					r.want("runs r1 (generation 0); PreflightFailed: no space left")
				}
			})
		})
	}
}

func TestBundlesThatWereHeldAreCollectedLater(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		for range 2 {
			if got := r.after(collectEvery); got != "r1 look, r1 collect" && got != "r1 collect, r1 look" {
				t.Errorf("it did: %s", got)
			}
		}
	})
}
