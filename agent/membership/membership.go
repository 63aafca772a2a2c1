package membership

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// askAgain is how often a machine that nobody wants asks whether that still holds.
	askAgain = 30 * time.Second
	// askTimeout is how long an answer may take.
	askTimeout = 10 * time.Second
	// patience is how long a machine that boots waits for the first answer: longer than an API server that is there takes.
	patience = 3 * time.Second
)

// unanswered are the waits between two questions that got no answer.
var unanswered = backoff.Doubling(200*time.Millisecond, 5*time.Second)

// Register is what decides about a Node that is not there. It is read from the API server at the moment of the decision: a
// watch may be behind by as long as it takes to notice that it broke.
type Register interface {
	// ListNodeAgents are the NodeAgents of a name: one or none. That there is none is the answer to a question that was
	// answered, not the lack of an answer.
	ListNodeAgents(ctx context.Context, name string) ([]v1alpha1.NodeAgent, error)
	// HasNode says whether there is a Node of a name.
	HasNode(ctx context.Context, name string) (bool, error)
}

// place is whether the kubelet may run. It registers its Node when it starts, and only then, if it is to.
type place string

const (
	// placeUnasked: no kubelet runs, and nobody was asked yet.
	placeUnasked place = "unasked"
	// placeUnheard: nobody answered, so that it may, for what needs no API server. It registers no Node, which may be unwanted.
	placeUnheard place = "unheard"
	// placeHeld: it may.
	placeHeld place = "held"
	// placeLost: it may not: nobody wants the Node.
	placeLost place = "lost"
)

// Options say whose Node it is about, and what comes of a decision.
type Options struct {
	// Node is the Node's name.
	Node string
	// Ask says that the kubelet must ask before it runs: it does not run yet, and has not only now been given the right to join.
	Ask bool
	// Unheard says that the kubelet runs, but was started without leave to register its Node.
	Unheard bool
	// Patience is how long the first answer may take. Default: 3 seconds.
	Patience time.Duration
	// Machine is the UID of the Machine that this machine joined as, empty when it is not known.
	Machine func() string
	// Again makes a kubelet that runs register its Node.
	Again func()
	// Changed is called after an answer has changed MayRun or MayRegister, with why the Node is not wanted, or nothing.
	Changed func(unwanted string)
	// Unanswered is called when the kubelet may run because no answer came.
	Unanswered func()
	Log        logr.Logger
}

// Membership decides whether the kubelet may run.
type Membership struct {
	opts Options

	mu      sync.Mutex
	place   place
	missing bool // the Node was there and is no more
	news    chan struct{}
	heard   chan struct{} // closed when what was open at the start is settled
}

// New is a membership about which nothing was asked yet.
func New(opts Options) *Membership {
	m := &Membership{opts: opts, place: placeHeld, news: make(chan struct{}, 1), heard: make(chan struct{})}
	if opts.Patience == 0 {
		m.opts.Patience = patience
	}
	if opts.Unheard {
		m.place = placeUnheard
	}
	if opts.Ask {
		m.place = placeUnasked
	}
	if m.place == placeHeld {
		close(m.heard)
	} else {
		m.wake()
	}
	return m
}

// wake has what is open decided.
func (m *Membership) wake() {
	select {
	case m.news <- struct{}{}:
	default: // that is due already
	}
}

// MayRun says whether the kubelet may be started or go on.
func (m *Membership) MayRun() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.place == placeHeld || m.place == placeUnheard
}

// MayRegister says whether the kubelet may register its Node.
func (m *Membership) MayRegister() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.place == placeHeld
}

// Heard waits until what was open at the start is settled, so that the API server answers. False says that the context ended before.
func (m *Membership) Heard(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-m.heard:
		return true
	}
}

// Await lets the kubelet run when no answer has come for a while, be it that the API server is away or that there is no identity
// to ask it with.
func (m *Membership) Await(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(m.opts.Patience):
	}
	m.mu.Lock()
	waited := m.place == placeUnasked
	if waited {
		m.place = placeUnheard
	}
	m.mu.Unlock()
	if waited {
		m.opts.Unanswered()
	}
}

// SawNode says that the Node is there.
func (m *Membership) SawNode() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = false
}

// MissNode says that the Node was there and has been gone for a while.
func (m *Membership) MissNode() {
	m.mu.Lock()
	m.missing = true
	m.mu.Unlock()
	m.wake()
}

// SawAgent says that there is a NodeAgent.
func (m *Membership) SawAgent() {
	if !m.MayRegister() {
		m.wake()
	}
}

// Run decides whenever there is something to decide, until the context ends.
func (m *Membership) Run(ctx context.Context, api Register) {
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	for waits := unanswered; ; {
		select {
		case <-ctx.Done():
			return
		case <-m.news:
			waits = unanswered
		case <-timer.C:
		}
		next := askAgain
		if !m.Decide(ctx, api) {
			next = waits.Step()
		}
		timer.Reset(next)
	}
}

// Decide settles what is open, and says whether it could be settled.
func (m *Membership) Decide(ctx context.Context, api Register) bool {
	m.mu.Lock()
	was, open := m.place, m.place != placeHeld || m.missing
	m.mu.Unlock()
	undecided := was == placeUnasked || was == placeUnheard
	if !open {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	agents, err := api.ListNodeAgents(ctx, m.opts.Node)
	unwanted := ""
	if err == nil {
		unwanted = notWanted(agents, m.opts.Node, m.opts.Machine())
	}
	there := false
	if unwanted != "" && undecided {
		there, err = api.HasNode(ctx, m.opts.Node)
	}
	switch {
	case err != nil && undecided && answered(err):
		// An API server that answers, but not this, has nothing to say against a kubelet that was at work here.
		m.opts.Log.Error(err, "Started the kubelet without knowing whether its Node is wanted", "node", m.opts.Node)
		m.settle(placeHeld, "")
	case err != nil:
		m.opts.Log.Info("Could not find out whether the Node is wanted", "node", m.opts.Node, "error", err.Error())
		return false
	case unwanted == "" || there:
		m.settle(placeHeld, "")
		if was == placeHeld {
			m.opts.Again()
		}
	default:
		m.settle(placeLost, unwanted)
	}
	return true
}

func (m *Membership) settle(now place, unwanted string) {
	m.mu.Lock()
	was := m.place
	m.place, m.missing = now, false
	select {
	case <-m.heard:
	default:
		close(m.heard)
	}
	m.mu.Unlock()
	if now != was {
		m.opts.Changed(unwanted)
	}
}

// notWanted is why a Node may not be registered, by what the API has of its NodeAgent; empty when it may.
func notWanted(agents []v1alpha1.NodeAgent, node, machine string) string {
	for _, agent := range agents {
		switch uid := agent.Labels[v1alpha1.MachineUIDLabel]; {
		case !agent.DeletionTimestamp.IsZero():
			return fmt.Sprintf("the NodeAgent %s is being deleted", node)
		case machine != "" && uid != "" && machine != uid:
			return fmt.Sprintf("the NodeAgent %s is that of another Machine (UID %s) than the one that this machine joined as (UID %s)", node, uid, machine)
		default:
			return ""
		}
	}
	return fmt.Sprintf("there is no NodeAgent %s any more: its Machine was deleted", node)
}

// answered says whether an error is an API server's answer, and not that none came.
func answered(err error) bool {
	return errors.As(err, new(apierrors.APIStatus)) && !apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) && !apierrors.IsServiceUnavailable(err) &&
		!apierrors.IsTooManyRequests(err) && !apierrors.IsInternalError(err)
}
