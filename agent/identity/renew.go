package identity

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/backoff"
)

// Renewer replaces the certificate in good time.
type Renewer struct {
	// API authenticates as the identity itself.
	API   API
	Clock clock.Clock
	Log   logr.Logger
	// Failed hears of every renewal that failed.
	Failed func(error)
	// Chance returns a number in [0, 1). Default: a random one.
	Chance func() float64
}

// renewalRetries are the waits after renewals that failed.
var renewalRetries = backoff.Doubling(time.Minute, 15*time.Minute)

// lookAgain is how often the clock is looked at while a renewal is waited for. A timer does not know of a clock that is
// set, as on a machine that boots with one far back, nor of the time a machine is suspended.
const lookAgain = 10 * time.Minute

// renewal is what one certificate is renewed with. Its key is used again when a try failed, and so is its request, unless that
// was denied.
type renewal struct {
	key     *ecdsa.PrivateKey
	denials int
}

// Run renews at 70 to 80 % of the certificate's life, with a new key each time, until the context ends.
func (r *Renewer) Run(ctx context.Context, id *Identity) {
	due, failed, waits, with := r.deadline(id), false, renewalRetries, renewal{}
	for {
		wait := r.wait(due)
		if failed {
			wait = waits.Step()
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Clock.After(wait):
		}
		if !failed && r.wait(due) > 0 {
			continue
		}
		next, err := r.renew(ctx, id, &with)
		if failed = err != nil; failed {
			if ctx.Err() != nil {
				return
			}
			r.Log.Error(err, "Failed to renew the agent's certificate", "node", id.Node, "ends", id.NotAfter)
			if r.Failed != nil {
				r.Failed(err)
			}
			continue
		}
		id, due, waits, with = next, r.deadline(next), renewalRetries, renewal{}
		r.Log.Info("Renewed the agent's certificate", "node", id.Node, "ends", id.NotAfter)
	}
}

// wait is how long to wait until the clock is looked at again, 0 when the time has come.
func (r *Renewer) wait(due time.Time) time.Duration {
	return min(max(due.Sub(r.Clock.Now()), 0), lookAgain)
}

func (r *Renewer) renew(ctx context.Context, id *Identity, with *renewal) (*Identity, error) {
	if with.key == nil {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		with.key = key
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cert, err := obtain(ctx, r.API, with.key, agentOf(id.Node), with.denials)
	if errors.As(err, new(*DeniedError)) {
		with.denials++
	}
	if err != nil {
		return nil, err
	}
	return save(id.Paths, id.Node, cert, with.key)
}

// deadline is when to renew.
func (r *Renewer) deadline(id *Identity) time.Time {
	chance := rand.Float64
	if r.Chance != nil {
		chance = r.Chance
	}
	life := id.NotAfter.Sub(id.NotBefore)
	return id.NotBefore.Add(time.Duration(float64(life) * (0.7 + 0.1*chance())))
}
