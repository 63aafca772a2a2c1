package identity

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
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

// retryRenewal is the wait after a renewal that failed.
const retryRenewal = time.Minute

// Run renews at 70 to 80 % of the certificate's life, with a new key each time, until the context ends.
func (r *Renewer) Run(ctx context.Context, id *Identity) {
	wait := r.deadline(id).Sub(r.Clock.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Clock.After(max(wait, 0)):
		}
		next, err := r.renew(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			r.Log.Error(err, "Failed to renew the agent's certificate", "node", id.Node, "ends", id.NotAfter)
			if r.Failed != nil {
				r.Failed(err)
			}
			wait = retryRenewal
			continue
		}
		id, wait = next, r.deadline(next).Sub(r.Clock.Now())
		r.Log.Info("Renewed the agent's certificate", "node", id.Node, "ends", id.NotAfter)
	}
}

func (r *Renewer) renew(ctx context.Context, id *Identity) (*Identity, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cert, err := obtain(ctx, r.API, key, agentOf(id.Node), 0)
	if err != nil {
		return nil, err
	}
	return save(id.Paths, id.Node, cert, key)
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
