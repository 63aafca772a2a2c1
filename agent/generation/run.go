package generation

import (
	"context"
	"errors"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// loop is what Run knows from one event to the next.
type loop struct {
	*Installer
	// back is what ran before the agent was started, until it does again: its components are looked after from then on,
	// whatever becomes of its successor. next is the wanted generation, nil while that is the one that runs.
	back, next *candidate
	// trial is the probation of what was activated last, nil when nothing is on probation.
	trial   *trial
	collect *time.Timer
	// unwritten says that the journal is behind.
	unwritten bool
}

// Run installs the wanted generation, and each later one, and keeps the one that runs as the machine needs it, until the
// context ends.
func (i *Installer) Run(ctx context.Context) {
	mend, look := time.NewTicker(mendEvery), time.NewTicker(lookEvery)
	defer mend.Stop()
	defer look.Stop()
	i.run(ctx, mend.C, look.C)
}

// run mends at each tick of mend what failed, or what was found to be in the way, and looks for anything else at each tick of look.
func (i *Installer) run(ctx context.Context, mend, look <-chan time.Time) {
	l := &loop{Installer: i, collect: stopped()}
	defer l.collect.Stop()
	l.resume(ctx)
	l.turn(ctx)
	defer func() { l.drop(&l.next); l.drop(&l.back); l.leave() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.news:
			l.turn(ctx)
		case <-l.back.due():
			l.install(ctx, l.back)
		case <-l.back.again():
			l.install(ctx, l.back)
		case <-l.successor().due():
			l.install(ctx, l.next)
		case <-l.successor().again():
			l.install(ctx, l.next)
		case verdict := <-l.trial.heard():
			l.weigh(ctx, verdict)
		case <-i.rebuild:
			l.rebuilt(ctx)
		case <-mend:
			l.mend(ctx)
		case <-look:
			l.look(ctx)
		case <-l.collect.C:
			l.collected(ctx)
		}
	}
}

// successor is the next generation, when its turn may have come: what ran before goes first, unless something is in its way,
// which the successor may mend; so does another change of the machine; and so does the first generation that is well, for there is
// nothing else to go back to.
func (l *loop) successor() *candidate {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back != nil && l.upkeep == nil || l.next != nil && !l.next.turned && (!l.mayChangeLocked() || l.state.Good == nil && l.trial.promises(time.Now())) {
		return nil
	}
	return l.next
}

// turn has the wanted generation for its candidate, or what the machine is brought to in its place, if that does not run already.
func (l *loop) turn(ctx context.Context) {
	wanted := l.Wanted()
	l.allow(wanted)
	state := l.now()
	target, denied := state.Target(wanted), state.Denies(wanted)
	if l.next != nil && Same(l.next.generation, target) {
		return
	}
	between := l.drop(&l.next)
	if denied {
		l.hinder(&l.staging, v1alpha1.ReasonRolledBack, errors.New(state.Refusal()))
	}
	switch {
	case !l.there(target):
		l.next = l.stage(ctx, target, &l.staging)
	case !denied:
		l.keep(wanted)
		l.overcome(&l.staging, "")
	}
	if between {
		l.retreat(ctx)
	}
}

// allow lifts what is denied when something else is wanted. That an agent begins with what runs is no wish of anybody's.
func (l *loop) allow(wanted *Generation) {
	if !l.isTold() || !l.now().allows(wanted) {
		return
	}
	if err := l.write(func(s *State) State { return s.allowed(wanted) }); err != nil {
		l.Log.Error(err, "Could not take down that another generation is wanted")
	}
}

func (l *loop) isTold() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// there says whether a generation runs, or did and is on its way back.
func (l *loop) there(g *Generation) bool {
	return (l.Up() != nil || l.back != nil) && Same(l.Running(), g)
}

// drop gives a candidate up, and says whether it had touched the machine.
func (l *loop) drop(c **candidate) (touched bool) {
	if *c == nil {
		return false
	}
	(*c).end()
	touched = (*c).turned
	*c = nil
	return touched
}

// install makes a candidate the generation that runs, or tries that again later.
func (l *loop) install(ctx context.Context, c *candidate) {
	first := !c.turned
	if c == l.next && first {
		if !l.begin() {
			if c.tried {
				c.retry.Reset(0) // it was spent, and is looked at when its turn comes
			}
			return
		}
		defer l.end()
	}
	c.tried = true
	var aside *Generation
	touched := func() {
		c.turned = true
		if c == l.next {
			aside = l.setAside()
		}
		l.prove(ctx, c.generation, first)
	}
	if err := l.activate(ctx, c.generation, c.work, first, touched); err != nil {
		if ctx.Err() == nil {
			l.hinder(c.obstacle, v1alpha1.ReasonPreflightFailed, err)
			c.retry.Reset(c.wait.Step())
			if aside != nil {
				l.back = l.stage(ctx, aside, &l.upkeep)
			}
		}
		return
	}
	l.overcome(&l.upkeep, "")
	l.drop(&l.back)
	if c == l.next {
		l.drop(&l.next)
	}
	l.collect.Reset(collectEvery)
	l.turn(ctx)
}

// setAside gives up making ready what ran before, and returns it, nil for nothing: a check that is under way makes the machine
// ready for it, as nothing else ran when it was begun.
func (l *loop) setAside() *Generation {
	if l.back == nil || l.back.tried {
		return nil
	}
	g := l.back.generation
	l.drop(&l.back)
	return g
}

// rebuilt goes on with what the machine is being brought to, or is.
func (l *loop) rebuilt(ctx context.Context) {
	for _, c := range []*candidate{l.next, l.back} {
		if c != nil && (c.turned || c.tried && l.Up() == nil) {
			l.install(ctx, c)
			return
		}
	}
	l.again(ctx, false)
}

// mend tries again what failed of the upkeep, and looks again at what was found to be in the way.
func (l *loop) mend(ctx context.Context) {
	l.catchUp()
	if l.settled() && l.ailing() {
		l.again(ctx, true)
	}
}

func (l *loop) look(ctx context.Context) {
	if l.settled() && !l.ailing() {
		l.Up().Look(ctx, l.Running())
	}
}

// settled says whether the machine runs one generation, whatever is made ready beside it.
func (l *loop) settled() bool {
	return l.Up() != nil && (l.next == nil || !l.next.turned)
}

func (l *loop) ailing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.upkeep != nil || l.up.Flawed()
}

// again activates the generation that runs once more, after a look at the machine if check is true.
func (l *loop) again(ctx context.Context, check bool) {
	g, work := l.Running(), l.Up()
	if work == nil {
		return // it is yet to be activated, or never was
	}
	var err error
	if check {
		err = l.survive("check", func() error { return work.Check(ctx, g, l.before(g)) })
	}
	if err == nil {
		err = l.activate(ctx, g, work, false, func() { l.prove(ctx, g, false) })
	}
	l.settle(ctx, err)
}

// settle takes down how the upkeep of what runs went.
func (l *loop) settle(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.hinder(&l.upkeep, v1alpha1.ReasonPreflightFailed, err)
	default:
		l.overcome(&l.upkeep, "")
	}
}

// collected removes what nothing needs. While a candidate is fetched or on probation nobody knows what that is, nor on the way
// back from one; and what is held now may be free later.
func (l *loop) collected(ctx context.Context) {
	l.collect.Reset(collectEvery)
	if up := l.Up(); up != nil && l.next == nil && l.trial == nil {
		up.Collect(ctx, l.Running())
	}
}
