package generation

import (
	"context"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// HoldFor is how long a generation must be healthy without a break to have proved itself.
	HoldFor = 10 * time.Second
	// proveWithin is how long it may take for that from the first try to activate it, the time its images take included.
	proveWithin = 2 * time.Minute
	// leaseWithin is how long nobody may renew the Node's Lease. It ends 40 seconds after the last time, and soon after that the
	// node's pods are taken out of their Services; what goes back until then disturbs none.
	leaseWithin = 30 * time.Second
	// sightWithin is the least time that it has after the API server could not be reached.
	sightWithin = time.Minute
	// maxAttempts is how many agents may begin to activate a generation that has a predecessor to go back to: one that brings
	// the agent down with it is not tried for ever.
	maxAttempts = 3
	// judgeEvery is how often a generation on probation is looked at, and judgeLoneEvery one that has nothing to go back to: what it
	// is like changes nothing, and a machine that joins has better things to do.
	judgeEvery     = time.Second
	judgeLoneEvery = HoldFor / 2
)

// Verdict is what the machine itself says of the generation that runs. Whether the API server can be reached is no part of it.
type Verdict struct {
	// Healthy says that all is well at this moment.
	Healthy bool
	// Hopeless says that waiting will not mend it.
	Hopeless bool
	// Started is when the youngest of its processes was started. One that ended between two looks has not been well without a break.
	Started time.Time
	// Urgent says that nobody renews the Node's Lease while this is so.
	Urgent bool
	// Blind says that it may be well: the API server, which it needs for that, cannot be reached. That fails nothing.
	Blind bool
	// Component is what is not well, Reason a condition's reason, and Message what to read; Exit is how it ended last.
	Component, Reason, Message string
	Exit                       *v1alpha1.ComponentExit
}

// trial is the probation of a candidate.
type trial struct {
	generation *Generation
	deadline   time.Time
	since      time.Time // when it was healthy first without a break, zero while it is not
	urgent     time.Time // when it was urgent first without a break, zero while it is not
	last       Verdict
	verdicts   chan judgment
	end        func()
}

// judgment is a verdict on the generation, if that is up: what runs before is another one's, and not asked.
type judgment struct {
	Verdict
	up bool
}

// try begins the probation of a generation.
func (i *Installer) try(ctx context.Context, g *Generation) *trial {
	ctx, cancel := context.WithCancel(ctx)
	t := &trial{generation: g, deadline: time.Now().Add(proveWithin), verdicts: make(chan judgment)}
	every := judgeEvery
	if !i.now().retreat() {
		every = judgeLoneEvery
	}
	ended := make(chan struct{})
	t.end = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			j := judgment{up: i.isUp(g)}
			if j.up {
				j.Verdict = i.Judge(ctx)
			}
			select {
			case <-ctx.Done():
				return
			case t.verdicts <- j:
			}
		}
	}()
	return t
}

// heard is readable when there is a verdict; never, when nothing is on probation.
func (t *trial) heard() <-chan judgment {
	if t == nil {
		return nil
	}
	return t.verdicts
}

// outcome is what follows from a verdict.
type outcome int

const (
	undecided outcome = iota
	proved
	failed
)

// hear weighs a verdict. One who has nothing to go back to has all the time there is, and one that became well in time has the
// time to stay so.
func (t *trial) hear(v Verdict, retreat bool, now time.Time) outcome {
	if seen := now.Add(sightWithin); v.Blind && seen.After(t.deadline) {
		t.deadline = seen
	}
	switch {
	case !v.Healthy:
		t.since, t.last = time.Time{}, v
	case t.since.IsZero():
		t.since = now
	case v.Started.After(t.since):
		t.since = v.Started
	}
	switch {
	case v.Healthy || !v.Urgent:
		t.urgent = time.Time{}
	case t.urgent.IsZero():
		t.urgent = now
	}
	late := now.After(t.deadline) || !t.urgent.IsZero() && now.Sub(t.urgent) > leaseWithin
	switch {
	case v.Healthy && now.Sub(t.since) >= HoldFor:
		return proved
	case retreat && !v.Healthy && (v.Hopeless || late):
		return failed
	default:
		return undecided
	}
}

// promises says that it is well, and in time for what follows from that.
func (t *trial) promises(now time.Time) bool {
	return t != nil && !t.since.IsZero() && now.Before(t.deadline)
}

// failure is why a trial failed, by the last thing that was not well.
func (t *trial) failure(obstacle *Obstacle) Failure {
	if obstacle != nil {
		return Failure{Reason: obstacle.Reason, Message: obstacle.Message}
	}
	return Failure{Reason: t.last.Reason, Message: t.last.Message, Component: t.last.Component, Exit: t.last.Exit}
}
