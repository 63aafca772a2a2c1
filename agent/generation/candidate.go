package generation

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// candidate is a generation on its way to be the one that runs.
type candidate struct {
	generation *Generation
	work       Work
	// obstacle is where what stands in its way is taken down.
	obstacle **Obstacle
	// staged is closed when it has been checked and fetched. end ends that, and returns when it has ended.
	staged chan struct{}
	end    func()
	// tried says that its turn has come; what failed is tried again when retry says so, after wait. turned says that it is in
	// the journal and the machine was touched for it: until it works, that is between two generations.
	tried, turned bool
	retry         *time.Timer
	wait          wait.Backoff
}

// stage begins to check and fetch a generation, which touches nothing of one that runs.
func (i *Installer) stage(ctx context.Context, g *Generation, obstacle **Obstacle) *candidate {
	ctx, cancel := context.WithCancel(ctx)
	c := &candidate{generation: g, work: i.NewWork(), obstacle: obstacle, staged: make(chan struct{}), retry: stopped(), wait: soon}
	ended := make(chan struct{})
	c.end = func() { cancel(); c.retry.Stop(); <-ended }
	go func() {
		defer close(ended)
		check := func() error {
			return i.survive("check", func() error { return c.work.Check(ctx, g, i.before(g)) })
		}
		fetch := func() error {
			return i.survive("fetch", func() error { return i.fetch(ctx, g, c.work) })
		}
		if i.attempt(ctx, obstacle, v1alpha1.ReasonPreflightFailed, backoff.Every(mendEvery), check) &&
			i.attempt(ctx, obstacle, v1alpha1.ReasonBundleFetchFailed, soon, fetch) {
			close(c.staged)
		}
	}()
	return c
}

// fetch makes sure of a generation's bundle, so that it outlives a power cut where the generation is one to go back to: a broken one
// was fetched anew.
func (i *Installer) fetch(ctx context.Context, g *Generation, work Work) error {
	if err := work.Fetch(ctx, g); err != nil || !i.now().isGood(g) {
		return err
	}
	if err := work.Settle(g); err != nil {
		i.Log.Error(err, "Went on with a bundle that may not outlive a power cut", "generation", g)
	}
	return nil
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// attempt does one step until it works, or until the context ends. An obstacle stays in the way until the step that met it is
// passed, so that whoever looks meanwhile sees it.
func (i *Installer) attempt(ctx context.Context, obstacle **Obstacle, reason string, pause wait.Backoff, step func() error) bool {
	for {
		err := step()
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			i.overcome(obstacle, reason)
			return true
		}
		i.hinder(obstacle, reason, err)
		notify(i.news) // whoever waited for this one need not any more
		if backoff.Wait(ctx, pause.Step()) != nil {
			return false
		}
	}
}

// survive has a step fail that panics. It has touched nothing of what runs, and is no attempt that the journal counts: an agent that
// ended by it would do so again each time that it is started, and keep nothing running meanwhile.
func (i *Installer) survive(name string, step func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the agent has a fault in its %s: %v: report it, with the agent's log", name, fault)
			i.Log.Error(err, "Survived a panic", "stack", string(debug.Stack()))
		}
	}()
	return step()
}

// due is readable when the candidate is to be activated; never, when there is none.
func (c *candidate) due() <-chan struct{} {
	if c == nil || c.tried {
		return nil
	}
	return c.staged
}

// again is readable when its activation, which failed, is to be tried again.
func (c *candidate) again() <-chan time.Time {
	if c == nil {
		return nil
	}
	return c.retry.C
}
