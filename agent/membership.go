package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// askFirst and askLast bound the wait between two questions that got no answer, and askAgain is how often a machine that
	// nobody wants asks whether that still holds.
	askFirst = 200 * time.Millisecond
	askLast  = 5 * time.Second
	askAgain = 30 * time.Second
	// askTimeout is how long an answer may take.
	askTimeout = 10 * time.Second
)

// register is what decides about a Node that is not there. It is read from the API server at the moment of the decision: a
// watch may be behind by as long as it takes to notice that it broke.
type register interface {
	// ListNodeAgents are the NodeAgents of a name: one or none. That there is none is the answer to a question that was
	// answered, not the lack of an answer.
	ListNodeAgents(ctx context.Context, name string) ([]v1alpha1.NodeAgent, error)
	// HasNode says whether there is a Node of a name.
	HasNode(ctx context.Context, name string) (bool, error)
}

// place is whether the kubelet may run. It registers its Node when it starts, and only then.
type place string

const (
	// placeUnasked: no kubelet runs, and nobody was asked yet.
	placeUnasked place = "unasked"
	// placeHeld: it may.
	placeHeld place = "held"
	// placeLost: it may not: nobody wants the Node.
	placeLost place = "lost"
)

// membership keeps a machine that nobody wants from becoming a node again. A machine that was released, or whose deletion
// ended without it, has a kubelet whose certificate still holds: when it starts, its Node is there once more, and takes pods.
//
// Cluster API deletes the Node when the infrastructure is gone, at the end of a Machine's deletion, and the manager deletes
// the NodeAgent when the Machine is gone: moments after each other. So a Node that is missing is mended only after a while,
// and then only if the NodeAgent is still there. As long as the API server cannot be asked nothing is done about what runs.
type membership struct {
	node string
	// machine is the UID of the Machine that this machine joined as, empty when it is not known.
	machine func() string
	// again makes a kubelet that runs register its Node, and changed is called after mayRun has changed, with why the Node is
	// not wanted, or nothing.
	again   func()
	changed func(unwanted string)
	log     logr.Logger

	mu      sync.Mutex
	place   place
	missing bool // the Node was there and is no more
	news    chan struct{}
}

// newMembership is that of a machine whose kubelet must ask first, or need not: it runs, or its machine has only now been
// given the right to join.
func newMembership(node string, ask bool, log logr.Logger) *membership {
	m := &membership{node: node, log: log, place: placeHeld, news: make(chan struct{}, 1)}
	if ask {
		m.place = placeUnasked
		wake(m.news)
	}
	return m
}

// mayRun says whether the kubelet may be started or go on.
func (m *membership) mayRun() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.place == placeHeld
}

// sawNode says that the Node is there.
func (m *membership) sawNode() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = false
}

// missNode says that the Node was there and has been gone for a while.
func (m *membership) missNode() {
	m.mu.Lock()
	m.missing = true
	m.mu.Unlock()
	wake(m.news)
}

// sawAgent says that there is a NodeAgent.
func (m *membership) sawAgent() {
	if !m.mayRun() {
		wake(m.news)
	}
}

// run decides whenever there is something to decide, until the context ends.
func (m *membership) run(ctx context.Context, api register) {
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	for wait := askFirst; ; {
		select {
		case <-ctx.Done():
			return
		case <-m.news:
			wait = askFirst
		case <-timer.C:
		}
		next := askAgain
		if !m.decide(ctx, api) {
			next, wait = wait, min(2*wait, askLast)
		}
		timer.Reset(next)
	}
}

// decide settles what is open, and says whether it could be settled.
func (m *membership) decide(ctx context.Context, api register) bool {
	m.mu.Lock()
	was, open := m.place, m.place != placeHeld || m.missing
	m.mu.Unlock()
	if !open {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	agents, err := api.ListNodeAgents(ctx, m.node)
	unwanted := ""
	if err == nil {
		unwanted = notWanted(agents, m.node, m.machine())
	}
	there := false
	if unwanted != "" && was == placeUnasked {
		there, err = api.HasNode(ctx, m.node)
	}
	switch {
	case err != nil && was == placeUnasked && answered(err):
		// An API server that answers, but not this, has nothing to say against a kubelet that was at work here.
		m.log.Error(err, "Started the kubelet without knowing whether its Node is wanted", "node", m.node)
		m.settle(placeHeld, "")
	case err != nil:
		m.log.Info("Could not find out whether the Node is wanted", "node", m.node, "error", err.Error())
		return false
	case unwanted == "" || there:
		m.settle(placeHeld, "")
		if was == placeHeld {
			m.again()
		}
	default:
		m.settle(placeLost, unwanted)
	}
	return true
}

func (m *membership) settle(now place, unwanted string) {
	m.mu.Lock()
	was := m.place
	m.place, m.missing = now, false
	m.mu.Unlock()
	if now != was {
		m.changed(unwanted)
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
