package selfupdate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// ProveWithin is how long a version has to prove itself. Whoever runs it waits longer before it ends one that hangs.
	ProveWithin = 3 * time.Minute
	// proveEvery is how often it is looked whether it has.
	proveEvery = time.Second
)

// ErrGivenUp says that this agent did not prove itself, and is to end.
var ErrGivenUp = errors.New("this version of the agent is given up")

// prove looks at this agent, which is on trial, until it lacks nothing, and makes it the one that is started from then on. After
// a time it is given up, and has to end. It says whether it proved itself; when the context ended before, that is no error.
func (p *Programs) prove(ctx context.Context, within time.Duration, lacks func(context.Context) string, refused func() bool) (bool, error) {
	t := p.read().Trial
	if t == nil {
		return true, nil
	}
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(proveEvery)
	defer tick.Stop()
	for {
		lack := lacks(ctx)
		if lack == "" && ctx.Err() == nil {
			err := p.confirm(t)
			if err == nil {
				return true, nil
			}
			p.note(err)
			lack = err.Error()
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-deadline.C:
			message := fmt.Sprintf("it did not prove itself within %s: %s", within, lack)
			p.note(p.giveUp(t, failure{Reason: v1alpha1.ReasonNotConfirmed, Message: message, Refused: refused()}))
			return false, fmt.Errorf("%w: %s", ErrGivenUp, message)
		case <-tick.C:
		}
	}
}

// confirm makes a version that proved itself the one that is started.
func (p *Programs) confirm(t *trial) error {
	if err := p.adopt(t.Digest); err != nil {
		return err
	}
	p.Log.Info("A version of the agent has proved itself", "version", t.Version, "digest", t.Digest)
	p.note(p.write(state{})) // one that cannot be written is settled by the link
	return nil
}
