package proxyrules

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// lookEvery is the time between two looks when no change is told: not every kernel tells of iptables' rules.
	lookEvery = 2 * time.Second
	// confirmAfter is how long the rules must be gone: whoever takes them away may be about to put them back.
	confirmAfter = 500 * time.Millisecond
	// firstWrite is how long a kube-proxy that was started may take to write its rules: by its own word it has written them when it
	// is about to. A slow machine that is busy with its boot was seen to take a minute.
	firstWrite = 2 * time.Minute
	// lookTimeout bounds one look.
	lookTimeout = 5 * time.Second
	// peace is how long the rules must have been left alone until the next restart is as prompt as the first.
	peace = 15 * time.Minute
	// remembered is how long a loss that was mended is told of.
	remembered = time.Hour
)

// patience are the least times between two restarts: whoever flushes every minute gets a kube-proxy that is restarted every
// other minute, and a condition that says so, and not one that never gets to work.
var patience = backoff.Doubling(5*time.Second, 2*time.Minute)

// Keeper has kube-proxy started again when its rules are gone.
type Keeper struct {
	// Missing is what of the rules is gone, as the function Missing has it.
	Missing func(context.Context) (string, error)
	// Runs says whether kube-proxy runs.
	Runs func() bool
	// Started is when the one that runs was started.
	Started func() time.Time
	// Wrote says whether it has written its rules since it was started, by its own word. One that has not waits for the API
	// server, and is not helped by a restart.
	Wrote func(context.Context) (bool, error)
	// Leaves says whether to leave it at telling of rules that are gone; nil for no.
	Leaves func() bool
	// Restart has it started again.
	Restart func(reason string)
	// Wait, when it is set, is how long kube-proxy may not be started again, because that was done too often.
	Wait func() time.Duration
	// Changed is called at each change of what Failure and Findings say, and must not ask for either itself.
	Changed func()
	Clock   clock.WithTicker
	Log     logr.Logger

	there time.Time // when the kube-proxy was started that had its rules in the kernel

	mu       sync.Mutex
	missing  string
	wrote    bool
	failure  error     // why the last look saw nothing
	since    time.Time // when the rules were first seen to be gone
	next     time.Time // when it may be restarted again
	waits    wait.Backoff
	restarts int       // without peace between them
	last     time.Time // of them
	lost     string    // what was missing then
	told     shown
}

// shown is what Failure and Findings are made of, as far as it does not change by itself.
type shown struct {
	missing, failure string
	wrote            bool
	last             time.Time
}

// Run looks after each event and every two seconds, until the context ends.
func (k *Keeper) Run(ctx context.Context, events <-chan struct{}) {
	timer := k.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-timer.C():
		}
		timer.Reset(k.look(ctx))
	}
}

// look looks once, does what follows from it, and says how soon to look again.
func (k *Keeper) look(ctx context.Context) time.Duration {
	if !k.Runs() {
		k.take("", false, nil)
		return lookEvery
	}
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	started := k.Started()
	missing, err := k.Missing(bounded)
	wrote := false
	switch {
	case missing != "":
		wrote, err = k.Wrote(bounded)
		wrote = wrote && (k.there.Equal(started) || k.Clock.Since(started) >= firstWrite)
	case err == nil:
		k.there = started
	}
	if ctx.Err() != nil {
		return lookEvery
	}
	reason, again := k.take(missing, wrote, err)
	if reason != "" {
		k.Log.Info("Had kube-proxy started again, as its rules are gone", "missing", missing)
		k.Restart(reason)
	}
	return again
}

// take takes down what was seen. It returns why kube-proxy is to be started again, if it is, and when to look next.
func (k *Keeper) take(missing string, wrote bool, err error) (reason string, again time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.tell()
	now := k.Clock.Now()
	k.missing, k.wrote, k.failure = missing, wrote, err
	if missing == "" || !wrote {
		k.since = time.Time{}
		return "", lookEvery
	}
	if k.leaves() {
		return "", lookEvery
	}
	if k.since.IsZero() {
		k.since = now
		if now.Sub(k.last) > peace {
			k.restarts, k.waits = 0, patience
		}
	}
	if k.Wait != nil {
		k.next = later(k.next, now.Add(k.Wait()))
	}
	if due := later(k.since.Add(confirmAfter), k.next); now.Before(due) {
		return "", min(due.Sub(now), lookEvery)
	}
	k.restarts++
	k.last, k.lost, k.since, k.next = now, missing, time.Time{}, now.Add(k.waits.Step())
	return missing + " is gone from the kernel", lookEvery
}

func (k *Keeper) leaves() bool { return k.Leaves != nil && k.Leaves() }

// tell calls Changed when there is something new to be said.
func (k *Keeper) tell() {
	now := shown{missing: k.missing, wrote: k.wrote, last: k.last}
	if k.failure != nil {
		now.failure = k.failure.Error()
	}
	if now != k.told {
		k.told = now
		if k.Changed != nil {
			k.Changed()
		}
	}
}

// Failure is what is wrong with the rules, nil when they are there.
func (k *Keeper) Failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.failure != nil:
		return fmt.Errorf("kube-proxy's rules cannot be looked at: %w", k.failure)
	case k.missing == "":
		return nil
	case !k.wrote:
		return &health.Failure{Reason: v1alpha1.ReasonStarting, Message: "kube-proxy has not written its rules yet, for which it needs the API server: the kernel lacks " + k.missing}
	case k.leaves():
		return fmt.Errorf("%s is gone from the kernel, and Services do not answer: it is left so, as the policy for rules is Report", k.missing)
	case k.restarts > 1 && k.next.After(k.last.Add(patience.Duration*2)):
		return fmt.Errorf("%s is gone from the kernel, and Services do not answer: after %d restarts kube-proxy writes it again at %s at the earliest", k.missing, k.restarts, k.next.UTC().Format(time.TimeOnly))
	default:
		return fmt.Errorf("%s is gone from the kernel, and Services do not answer: kube-proxy is started again to write it", k.missing)
	}
}

// Findings tell of rules that were taken away and written again: whoever does that does it again.
func (k *Keeper) Findings() []v1alpha1.Finding {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last.IsZero() || k.Clock.Now().Sub(k.last) > remembered {
		return nil
	}
	return []v1alpha1.Finding{finding.Warning(finding.ProxyRulesLost, "something on the machine took kube-proxy's rules away (%s), last at %s, and kube-proxy was started again to write them: find out what flushes rules that are not its own, the reload of a firewall for instance", k.lost, k.last.UTC().Format(time.RFC3339))}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
