package generation

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// mendEvery is how often a machine that failed the preflight, or a change of its configuration, is looked at again.
	mendEvery = 10 * time.Second
	// lookEvery is how often one that has what it needs is looked at for what was changed on it.
	lookEvery = 5 * time.Minute
	// collectEvery is how long after a state was installed the bundles of others are removed, and again from then on.
	collectEvery = 5 * time.Minute
)

// soon are the waits after a failure that may be over in a moment, such as that of a fetch.
var soon = backoff.Doubling(time.Second, time.Minute)

// Installer brings a machine to the wanted generation and keeps it there.
type Installer struct {
	// NewWork begins the work for one desired state.
	NewWork func() Work
	// Judge says how the generation that runs is, by what the machine itself knows. It may take a few seconds.
	Judge func(context.Context) Verdict
	// Hindered is called when something stands in the way, with what, and when nothing does any more, with nil. Changed is
	// called when Running is another one. Neither may call the Installer's Run.
	Hindered func(*Obstacle)
	Changed  func()
	Log      logr.Logger

	store *Store

	mu      sync.Mutex
	wanted  *Generation
	told    bool        // wanted is what a NodeAgent asks for, and not what is assumed until one does
	running *Generation // what is installed, or what the last agent had installed, or what is installed for the first time
	state   State       // as it is on disk
	up      Work        // the running one's, nil until this agent has installed it
	staging *Obstacle   // what keeps the wanted one from being installed
	upkeep  *Obstacle   // what keeps the running one from being kept
	// claimed says that nothing else than what the machine is configured for is to be activated, and activating that something
	// else just is.
	claimed, activating bool
	// repairing says the same for a repair of the machine.
	repairing bool
	news      chan struct{}
	rebuild   chan struct{}
}

// Begin is called once, with what an earlier agent left on the machine's disk and the bootstrap document's generation.
func (i *Installer) Begin(store *Store, state State, first *Generation) {
	i.store, i.state, i.running = store, state, first
	if kept := state.Kept(); kept != nil {
		i.running = kept
	}
	i.wanted = i.running
	i.news, i.rebuild = make(chan struct{}, 1), make(chan struct{}, 1)
}

// Wanted is the newest generation that is asked for.
func (i *Installer) Wanted() *Generation {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.wanted
}

// Running is the generation that runs, or the first, before any does.
func (i *Installer) Running() *Generation {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.running
}

// Up is the work that was done for the running generation; nil until this agent has installed it.
func (i *Installer) Up() Work {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.up
}

// isUp says whether a generation is the one that this agent has installed.
func (i *Installer) isUp(g *Generation) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.up != nil && Same(i.running, g)
}

// Kept is what the machine is configured for, with the address that it was configured with last; nil on a machine that never was.
func (i *Installer) Kept() *Generation { return i.now().Kept() }

// now is where the machine is between its generations. It is never changed in place.
func (i *Installer) now() *State {
	i.mu.Lock()
	defer i.mu.Unlock()
	state := i.state
	return &state
}

// Progress is where the machine is between its generations, and how far the wanted one is.
func (i *Installer) Progress() (State, v1alpha1.NodeAgentPhase) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state, i.state.Phase(i.wanted, i.up != nil && Same(i.running, i.wanted))
}

// Claim keeps what the machine is not configured for from being activated, for as long as something else is changed on it, such as
// the agent: one that ends counts against a generation on probation, and one of two changes may be the other's fault. It says
// whether that is so. It is not while a generation is activated or may yet be rolled back, nor, without force, while another one is
// on its way. A machine that has none yet gets one whatever is claimed.
func (i *Installer) Claim(force bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept, target := i.state.Kept(), i.state.Target(i.wanted)
	settled := kept != nil && i.state.Candidate == nil && Same(kept, target)
	if i.activating || i.repairing || i.state.retreat() || !settled && !force {
		return false
	}
	i.claimed = true
	return true
}

// Rest is a Claim for a repair of the machine, which nothing holds beside it: not while the agent itself is changed, or is on trial.
// What is on its way is activated when Resume says that the repair is over.
func (i *Installer) Rest() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.activating || i.claimed || i.state.retreat() {
		return false
	}
	i.repairing = true
	return true
}

// Resume ends a Rest.
func (i *Installer) Resume() {
	i.mu.Lock()
	i.repairing = false
	i.mu.Unlock()
	notify(i.news)
}

// Hold is a Claim that goes on from before Run, whatever the last agent had begun.
func (i *Installer) Hold() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claimed = true
}

// Release takes a claim back.
func (i *Installer) Release() {
	i.mu.Lock()
	i.claimed = false
	i.mu.Unlock()
	notify(i.news)
}

// mayChangeLocked says whether another generation may be activated than the one that the machine is configured for.
func (i *Installer) mayChangeLocked() bool {
	return !i.claimed && !i.repairing || i.state.Kept() == nil
}

// begin says that a generation is activated now, unless something else is changed.
func (i *Installer) begin() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.activating = i.mayChangeLocked()
	return i.activating
}

func (i *Installer) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.activating = false
}

// Obstacle is what stands in the way now, nil where nothing does: of the wanted generation first.
func (i *Installer) Obstacle() *Obstacle {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.obstacleLocked()
}

func (i *Installer) obstacleLocked() *Obstacle {
	o := i.staging
	if o == nil && i.state.Denies(i.wanted) { // what was in the way of facts that it takes over nonetheless is out of it
		o = &Obstacle{Reason: v1alpha1.ReasonRolledBack, Message: i.state.Refusal()}
	}
	if o == nil {
		o = i.upkeep
	}
	if o == nil {
		return nil
	}
	now := *o
	now.Running = i.up != nil // which may have changed since it was met
	return &now
}

// Want takes in what the manager wants. What is wanted already, as with a node's first NodeAgent as a rule, is not begun anew,
// and what was wanted before not again.
func (i *Installer) Want(agent *v1alpha1.NodeAgent) {
	if same, news := i.want(agent); news {
		notify(i.news)
		if same {
			i.Changed()
		}
	}
}

func (i *Installer) want(agent *v1alpha1.NodeAgent) (same, news bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := i.wanted.Next(agent)
	same = Same(next, i.wanted)
	if i.wanted.Outdates(agent) || same && next.ObservedGeneration == i.wanted.ObservedGeneration && next.NodeAgentUID == i.wanted.NodeAgentUID {
		return same, false
	}
	if same && i.running == i.wanted {
		i.running = next
	}
	i.wanted, i.told = next, true
	return same, true
}

// Rebuild has the running generation planned and applied anew, because something that its configuration depends on has changed.
func (i *Installer) Rebuild() { notify(i.rebuild) }

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// newest is g as it is wanted by now, with the latest generation of its NodeAgent.
func (i *Installer) newest(g *Generation) *Generation {
	if Same(g, i.wanted) {
		return i.wanted
	}
	return g
}

// before is g as it was installed last, nil when it never was.
func (i *Installer) before(g *Generation) *Generation {
	if kept := i.Kept(); kept != nil && Same(kept, g) {
		return kept
	}
	return nil
}

// write makes a state the one that a restart begins with.
func (i *Installer) write(next func(*State) State) error {
	state := next(i.now())
	if err := i.store.Write(state); err != nil {
		return err
	}
	i.mu.Lock()
	i.state = state
	i.mu.Unlock()
	i.Changed()
	return nil
}

// keep has the status show, and a restart begin with, the generation of the NodeAgent that a state which runs is wanted by now.
func (i *Installer) keep(wanted *Generation) {
	i.mu.Lock()
	i.running = wanted
	i.mu.Unlock()
	kept := i.Kept()
	if kept == nil || !Same(kept, wanted) || kept.ObservedGeneration == wanted.ObservedGeneration && kept.NodeAgentUID == wanted.NodeAgentUID {
		return
	}
	again := wanted.At(kept.NodeIP, kept.MTU)
	if err := i.write(func(s *State) State { return s.configured(again) }); err != nil {
		i.Log.Error(err, "Could not take down the generation of the NodeAgent", "generation", again)
	}
}

// activate makes the state the one that runs, on disk first. Where a restart would begin with it anyway, a disk that takes no
// more does not stand in its way: a node that is to go on needs its components more than the count of tries or its address
// taken down. Nothing of the machine was touched for it before touched is called.
func (i *Installer) activate(ctx context.Context, g *Generation, work Work, first bool, touched func()) error {
	i.mu.Lock()
	g = i.newest(g)
	i.mu.Unlock()
	var change Change
	plan := func() (err error) { change, err = work.Plan(ctx, g); return err }
	if err := i.survive("plan", plan); err != nil {
		return err
	}
	next := (*State).configured
	if first {
		next = (*State).begun
	}
	if err := i.write(func(s *State) State { return next(s, change.Generation) }); err != nil {
		if kept := i.Kept(); kept == nil || !Same(kept, g) {
			return err
		}
		i.Log.Error(err, "Went on with a generation without taking it down again", "generation", g)
	}
	touched()
	if err := change.Apply(); err != nil {
		return err
	}
	i.mu.Lock()
	i.running, i.up = i.newest(g), work
	i.mu.Unlock()
	i.Changed()
	return nil
}

// hinder takes down what stands in the way of the wanted state, or of the running one's upkeep.
func (i *Installer) hinder(where **Obstacle, reason string, err error) {
	i.mu.Lock()
	*where = &Obstacle{Reason: reason, Message: err.Error()}
	o := i.obstacleLocked()
	i.mu.Unlock()
	i.Log.Info("Could not start the node's components", "reason", reason, "message", err.Error())
	i.Hindered(o)
}

// overcome takes an obstacle out of the way; with a reason, only one of that.
func (i *Installer) overcome(where **Obstacle, reason string) {
	i.mu.Lock()
	was := *where != nil && (reason == "" || (*where).Reason == reason)
	if was {
		*where = nil
	}
	left := i.obstacleLocked()
	i.mu.Unlock()
	if was {
		i.Hindered(left)
	}
}
