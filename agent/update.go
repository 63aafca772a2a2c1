package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/selfupdate"
)

// soundFor is how long a node must be well without a break before that speaks for an agent that nobody can hear.
const soundFor = 10 * time.Second

// Programs are the versions of the agent in a state directory, for what is done before there is an agent.
func Programs(stateDir string, log logr.Logger) *selfupdate.Programs {
	return &selfupdate.Programs{Dir: filepath.Join(stateDir, "agent"), Log: log.WithName("update")}
}

func (a *Agent) newUpdater() *selfupdate.Updater {
	programs := Programs(a.opts.StateDir, a.log)
	programs.Roots = func() *x509.CertPool { return roots(a.installer.Running().Spec.Cluster.ServerCA) }
	ready := a.opts.Ready
	if ready == nil {
		ready = func() {}
	}
	trial := &trialOfAgent{
		takenOver: func() (bool, *generation.Obstacle) {
			return a.installer.Kept() == nil || a.installer.Up() != nil, a.installer.Obstacle()
		},
		heard: a.reported.Load, refused: a.reporter.Refused, reaches: a.reachesServer, judge: a.judgeNode, now: time.Now,
	}
	return &selfupdate.Updater{
		Programs: programs, Lacks: trial.lacks, Within: selfupdate.ProveWithin,
		Heard: a.reported.Load, Refused: func() bool { return a.reporter.Refused() != nil },
		Ready: func(ctx context.Context) { ready(); a.installer.Release(); a.bringUnits(ctx) },
		Claim: a.installer.Claim, Release: a.installer.Release,
		Changed: func() { wake(a.dirty) }, Log: programs.Log,
	}
}

// Look returns when the parts that everything goes through let themselves be looked at.
func (a *Agent) Look() {
	_, _ = a.supervise.Status(), a.installer.Obstacle()
}

// trialOfAgent is what a new version of the agent has to show.
type trialOfAgent struct {
	// takenOver says whether what ran before runs under this agent, or what is in the way of that.
	takenOver func() (bool, *generation.Obstacle)
	// heard says whether the API server took a report from it, refused what it refused the last one with, and reaches whether
	// it could have taken one.
	heard   func() bool
	refused func() error
	reaches func(context.Context) bool
	judge   func(context.Context) generation.Verdict
	now     func() time.Time

	since time.Time // when the node was well first without a break, zero while it is not
}

// lacks is what it has not shown yet. An API server that cannot be reached, or that takes nothing for reasons of its own, says nothing
// about the agent: then it is judged by the node, as a generation is.
func (t *trialOfAgent) lacks(ctx context.Context) string {
	over, obstacle := t.takenOver()
	switch {
	case !over && obstacle != nil:
		return "it did not take over the node's components: " + obstacle.Message
	case !over:
		return "it did not take over the node's components"
	case t.heard():
		return ""
	}
	silence := "the API server cannot be reached"
	if t.reaches(ctx) {
		switch err := t.refused(); {
		case err == nil:
			return "it reported nothing to the API server, which answers"
		case !isServersFault(err):
			return "it reported nothing to the API server, which refuses it: " + err.Error()
		default:
			silence = "the API server takes no reports (" + err.Error() + ")"
		}
	}
	if v := t.judge(ctx); !v.Healthy && !v.Blind {
		t.since = time.Time{}
		return silence + ", and the node is not well: " + v.Message
	}
	if t.since.IsZero() {
		t.since = t.now()
	}
	if t.now().Sub(t.since) < soundFor {
		return silence + ", and the node has not been well for long"
	}
	return ""
}

// isServersFault says whether the API server refused a request for a reason that has nothing to do with whoever made it.
func isServersFault(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests
}
