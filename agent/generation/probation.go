package generation

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// resume begins to bring back what the machine is configured for. A generation that brought down as many agents as may try it
// is rolled back before anything is done for it.
func (l *loop) resume(ctx context.Context) {
	kept := l.Kept()
	if kept == nil {
		return
	}
	if state := l.now(); state.Attempts >= maxAttempts && state.retreat() {
		l.rollBack(ctx, Failure{Reason: v1alpha1.ReasonRolledBack, Message: fmt.Sprintf("the agent ended %d times before it had proved itself", state.Attempts)})
		return
	}
	l.back = l.stage(ctx, kept, &l.upkeep)
	l.prove(ctx, kept, true) // which ends also where it cannot be brought back
}

// prove has a generation that is in the journal on probation, unless it is good: in the one that it is in already, if it is and
// that is not to begin anew.
func (l *loop) prove(ctx context.Context, g *Generation, anew bool) {
	if !anew && l.trial != nil && Same(l.trial.generation, g) {
		return
	}
	l.leave()
	if !l.now().isGood(g) {
		l.trial = l.try(ctx, g)
	}
}

// leave ends a probation without a verdict.
func (l *loop) leave() {
	if l.trial != nil {
		l.trial.end()
		l.trial = nil
	}
}

// weigh draws the consequence of a verdict.
func (l *loop) weigh(ctx context.Context, j judgment) {
	v := j.Verdict
	if !j.up || !l.isUp(l.trial.generation) {
		v = Verdict{Reason: v1alpha1.ReasonStarting, Message: "it was not activated in time"}
	}
	switch l.trial.hear(v, l.now().retreat(), time.Now()) {
	case proved:
		if err := l.Up().Settle(l.trial.generation); err != nil {
			l.unsettled(ctx, err)
			return
		}
		if err := l.write((*State).committed); err != nil {
			l.Log.Error(err, "Could not take down that a generation has proved itself")
			return // the next verdict comes in a moment
		}
		l.Log.Info("A generation has proved itself", "generation", l.trial.generation)
		l.leave()
	case failed:
		l.rollBack(ctx, l.trial.failure(l.obstacleOf(l.trial.generation)))
	case undecided:
	}
}

// unsettled has a generation go on that is well and whose bundle the disk does not take, until its time is over: a node must not come
// to depend on what the next power cut takes away.
func (l *loop) unsettled(ctx context.Context, err error) {
	l.Log.Error(err, "Could not make durable what a generation runs from")
	if l.now().retreat() && time.Now().After(l.trial.deadline) {
		l.rollBack(ctx, Failure{Reason: v1alpha1.ReasonBundleFetchFailed, Message: "its bundle could not be made durable: " + err.Error()})
	}
}

// obstacleOf is what stands in the way of a generation that does not run yet, and not what stands in another's.
func (l *loop) obstacleOf(g *Generation) *Obstacle {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range []*candidate{l.back, l.next} {
		if c != nil && Same(c.generation, g) {
			return *c.obstacle
		}
	}
	return nil
}

// rollBack goes back to the generation that is good, as after a restart, and denies the one that failed until something else is
// wanted. A disk that takes no more does not keep a node with what failed: the journal is written when there is room, and an
// agent that begins before that finds out again.
func (l *loop) rollBack(ctx context.Context, why Failure) {
	why.Time = metav1.NewTime(time.Now().Truncate(time.Second))
	rolledBack := func(s *State) State { return s.RolledBack(why) }
	if err := l.write(rolledBack); err != nil {
		l.Log.Error(err, "Could not take down that a generation failed")
		l.mu.Lock()
		l.state, l.unwritten = rolledBack(&l.state), true
		l.mu.Unlock()
	}
	l.Log.Info("Rolled back", "generation", l.Kept(), "reason", why.Reason, "component", why.Component, "message", why.Message)
	l.leave()
	l.drop(&l.next)
	l.drop(&l.back)
	l.mu.Lock()
	l.running, l.up, l.upkeep = l.state.Good, nil, nil
	l.mu.Unlock()
	l.back = l.stage(ctx, l.Kept(), &l.upkeep)
	l.turn(ctx)
}

// catchUp takes down what the disk had no room for.
func (l *loop) catchUp() {
	if l.unwritten && l.write(func(s *State) State { return *s }) == nil {
		l.unwritten = false
	}
}

// retreat puts the machine back to what runs, after a candidate had touched it and was given up.
func (l *loop) retreat(ctx context.Context) {
	l.leave()
	if g, work := l.Running(), l.Up(); work != nil {
		l.settle(ctx, l.activate(ctx, g, work, true, func() { l.prove(ctx, g, true) }))
	}
}
