package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/membership"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// installing is an agent that works on a state of revision r1.
func installing() (*Agent, *generation) {
	g := &generation{}
	g.Spec.Revision = "r1"
	return &Agent{
		log: logr.Discard(), boot: joinedBoot(), members: membership.New(membership.Options{Log: logr.Discard()}), current: g, newest: g,
		wanted: make(chan *generation, 1), dirty: make(chan struct{}, 1),
	}, g
}

func desired(revision string, number int64) *v1alpha1.NodeAgent {
	return &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: number}, Spec: v1alpha1.NodeAgentSpec{Revision: revision}}
}

func TestWhatIsInstalledAlreadyIsNotBegunAnew(t *testing.T) {
	a, _ := installing()
	for range 2 { // each write of the status is an event, too
		a.want(desired("r1", 1))
	}
	if len(a.wanted) != 0 {
		t.Errorf("%s was handed to install again", <-a.wanted)
	}
	if got := a.generation().ObservedGeneration; got != 1 {
		t.Errorf("the status shows generation %d, want 1: it is what is being installed", got)
	}
}

func TestTheNewestStateWins(t *testing.T) {
	a, _ := installing()
	for number, revision := range []string{"r1", "r2", "r2", "r3", "r3"} {
		a.want(desired(revision, int64(number)))
	}
	if len(a.wanted) != 1 {
		t.Fatalf("%d states wait for install, want the newest alone", len(a.wanted))
	}
	if got := <-a.wanted; got.Spec.Revision != "r3" {
		t.Errorf("install is to begin %s, want r3", got)
	}
	if got := a.generation(); got.Spec.Revision != "r1" || got.ObservedGeneration != 0 {
		t.Errorf("the status shows %s before the new state is installed", got)
	}
	a.want(desired("r1", 9))
	if len(a.wanted) != 1 {
		t.Error("going back to the first state is a new state, too")
	}
}

func TestAnObstacleStaysUntilItsStageIsPassed(t *testing.T) {
	a, g := installing()
	fetch := stage{reason: v1alpha1.ReasonBundleFetchFailed, first: time.Hour, last: time.Hour}
	fetch.do = func(context.Context, *generation) error {
		a.want(desired("r2", 2))
		return errors.New("no route to host")
	}
	next, ok := a.attempt(t.Context(), g, fetch)
	if ok || next == nil || next.Spec.Revision != "r2" {
		t.Fatalf("the attempt went on with %s (%v) although r2 is wanted", next, ok)
	}
	works := func(context.Context, *generation) error { return nil }
	if _, ok := a.attempt(t.Context(), next, stage{do: works, reason: v1alpha1.ReasonPreflightFailed}); !ok || !a.hindered() {
		t.Error("the preflight took the failed fetch out of the way: nobody would see it")
	}
	if _, ok := a.attempt(t.Context(), next, stage{do: works, reason: v1alpha1.ReasonBundleFetchFailed}); !ok || a.hindered() {
		t.Errorf("after the fetch, %+v still stands in the way", a.hindrance)
	}
}

func TestAFailedStageIsTriedLessAndLessOften(t *testing.T) {
	a, g := installing()
	var tries []time.Time
	fetch := stage{reason: v1alpha1.ReasonBundleFetchFailed, first: 10 * time.Millisecond, last: 40 * time.Millisecond}
	fetch.do = func(context.Context, *generation) error {
		a.want(desired("r1", 1)) // the event of the status that the failure before was written into
		if tries = append(tries, time.Now()); len(tries) == 5 {
			return nil
		}
		return errors.New("connection refused")
	}
	if _, ok := a.attempt(t.Context(), g, fetch); !ok || len(tries) != 5 {
		t.Fatalf("the stage was tried %d times", len(tries))
	}
	for i, milliseconds := range []int64{10, 20, 40, 40} {
		if waited := tries[i+1].Sub(tries[i]); waited.Milliseconds() < milliseconds {
			t.Errorf("try %d came %s after the one before, want at least %dms", i+2, waited, milliseconds)
		}
	}
}
