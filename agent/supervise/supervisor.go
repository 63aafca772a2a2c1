package supervise

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// Options are what a Supervisor works with.
type Options struct {
	// RunDir takes the records of the processes, in a subdirectory. It must not outlive a reboot.
	RunDir string
	// Clock is for timestamps and backoff. Default: the real one.
	Clock clock.WithTicker
	// Log says what happened. Default: nothing is logged.
	Log logr.Logger
	// Backoff is the wait before restarts.
	Backoff Backoff
	// Budget is how many restarts are made to mend a process.
	Budget Budget
	// Excused says that a process cannot do its work for want of something that no restart brings, so that those that it needs
	// meanwhile do not count. Default: none ever is.
	Excused func(name string) bool
	// Rotation is how logs are rotated.
	Rotation Rotation
	// OwnLog, when it is set, has standard error rotated as well where it is a file that is appended to; the old parts are
	// OwnLog.1 and so on.
	OwnLog string
	// Chance returns a number in [0, 1) for jitter. Default: a random one.
	Chance func() float64
}

// Supervisor keeps the processes running that were last given to Apply.
type Supervisor struct {
	opts  Options
	store store

	mu      sync.Mutex
	units   map[string]*unit
	order   []string
	records map[string]record // of processes no unit has claimed yet
	ctx     context.Context   // of the units' goroutines; nil while Run does not run
	cancel  context.CancelFunc
	halted  bool
	loops   sync.WaitGroup
	changed chan struct{} // closed and replaced at each change
	readers []chan struct{}
}

// ErrStopped is returned by Apply after StopAll.
var ErrStopped = errors.New("the supervisor has stopped every process")

// New makes a supervisor that knows the processes recorded in the run directory.
func New(opts Options) (*Supervisor, error) {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.Log.GetSink() == nil {
		opts.Log = logr.Discard()
	}
	if opts.Chance == nil {
		opts.Chance = rand.Float64
	}
	if opts.Excused == nil {
		opts.Excused = func(string) bool { return false }
	}
	opts.Backoff, opts.Budget = opts.Backoff.withDefaults(), opts.Budget.withDefaults()
	opts.Rotation = opts.Rotation.withDefaults()
	s := &Supervisor{opts: opts, store: store{dir: filepath.Join(opts.RunDir, "processes")}, units: map[string]*unit{}, changed: make(chan struct{})}
	var err error
	s.records, err = s.store.load()
	return s, err
}

// Apply sets the processes that are wanted. Those that differ from what runs are restarted, those not named any more
// are stopped, the others are left alone. It returns at once; the work is done while Run runs.
func (s *Supervisor) Apply(processes []Process) error {
	if err := validate(processes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halted {
		return ErrStopped
	}
	wanted := make(map[string]*Process, len(processes))
	s.order = s.order[:0]
	for _, p := range processes {
		wanted[p.Name] = &p
		s.order = append(s.order, p.Name)
		s.unitLocked(p.Name)
	}
	for name := range s.records { // left by an earlier supervisor
		s.unitLocked(name)
	}
	for name, u := range s.units {
		u.setWantLocked(wanted[name])
	}
	s.changedLocked()
	return nil
}

// Restart replaces the process of a name, for a reason that the log tells. It is no failure: neither the backoff nor the count
// of restarts is touched. Where none runs, there is nothing to do. It is on disk when Restart returns: the next supervisor does
// it if this one ends before.
func (s *Supervisor) Restart(name, reason string) {
	s.replace(name, func(rec *record) { rec.Replace = reason })
}

// Mend is a Restart that is to give a process back what it had lost. It counts as a repair, and is made when the budget of repairs
// allows it, unless the process is started anew before.
func (s *Supervisor) Mend(name, reason string) {
	s.replace(name, func(rec *record) {
		now := s.opts.Clock.Now()
		if s.opts.Budget.wait(rec.Repairs, now) > 0 {
			rec.Mend = reason
			return
		}
		rec.Replace, rec.Mend, rec.Repairs = reason, "", s.opts.Budget.add(rec.Repairs, now, afterLoss)
	})
}

// replace has the process that runs under a name replaced, now or later, as change takes it down.
func (s *Supervisor) replace(name string, change func(*record)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec, unclaimed := s.records[name]; unclaimed && rec.Running {
		change(&rec)
		s.records[name] = rec
		s.saveLocked(rec)
		return
	}
	u := s.units[name]
	if u == nil || u.want == nil || !u.record.Running {
		return
	}
	change(&u.record)
	s.saveLocked(u.record)
	if u.interrupt != nil {
		u.interrupt()
	}
	s.changedLocked()
}

func (s *Supervisor) saveLocked(rec record) {
	if err := s.store.write(rec); err != nil {
		s.opts.Log.Error(err, "Failed to record that a process is to be replaced, so the next agent will not do it", "component", rec.Name)
	}
}

// RestartHung has a process ended that does not answer, and started again after its backoff: that is a failure like any other end.
// inARow is how often in a row it hangs, for Hangs, and message becomes that of its exit. Where the process of that number does not
// run any more, there is nothing to do, nor where the budget of repairs has it wait: it is asked again.
func (s *Supervisor) RestartHung(name string, pid int32, inARow int, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[name]
	if u == nil || u.hung != nil || !u.record.Running || u.record.PID != int(pid) || s.opts.Budget.wait(u.record.Repairs, s.opts.Clock.Now()) > 0 {
		return
	}
	u.hung = &hang{inARow: inARow, message: message}
	if u.interrupt != nil {
		u.interrupt()
	}
}

// Hangs is how often in a row a process was restarted because it hung, and when the last time. An agent that is restarted knows
// that of its predecessor; another configuration begins anew.
func (s *Supervisor) Hangs(name string) (inARow int, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil {
		return u.record.Hangs, u.record.HungAt
	}
	return 0, time.Time{}
}

// Knows says whether an earlier supervisor started a process of this name that may still run.
func (s *Supervisor) Knows(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, recorded := s.records[name]
	if !recorded || !rec.Running || rec.PID == 0 { // without a number it was about to be started
		return recorded && rec.Running
	}
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(rec.PID)))
	return err == nil
}

// Arguments are those that the process of a name was last started with, by this supervisor or an earlier one; none where it has
// ended.
func (s *Supervisor) Arguments(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[name]
	if u := s.units[name]; u != nil {
		rec = u.record
	}
	if !rec.Running || len(rec.Argv) == 0 {
		return nil
	}
	return slices.Clone(rec.Argv[1:])
}

// Has says whether the process of a name was last started as p is, by this supervisor or an earlier one.
func (s *Supervisor) Has(p Process) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[p.Name]
	if u := s.units[p.Name]; u != nil {
		rec = u.record
	}
	return rec.Running && rec.Digest == p.Digest()
}

// unitLocked makes the unit of a name unless it exists, and starts its goroutine if Run runs.
func (s *Supervisor) unitLocked(name string) {
	if s.units[name] != nil {
		return
	}
	rec := s.records[name]
	delete(s.records, name)
	u := &unit{supervisor: s, name: name, record: rec, state: fleetv1.ComponentWaiting}
	s.units[name] = u
	if s.ctx != nil && s.ctx.Err() == nil {
		s.loops.Go(func() { u.run(s.ctx) })
	}
}

// Run does the work until the context ends. The processes go on running then, for the next supervisor to adopt. It
// is called once.
func (s *Supervisor) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.halted || s.ctx != nil {
		s.mu.Unlock()
		return errors.New("the supervisor runs already or was stopped")
	}
	loops, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ctx, s.cancel = loops, cancel
	for _, u := range s.units {
		s.loops.Go(func() { u.run(loops) })
	}
	s.loops.Go(func() { s.rotateLogs(loops) })
	s.mu.Unlock()
	<-ctx.Done()
	s.loops.Wait()
	return nil
}

// Changed returns a channel that gets a value after each change of a status; several changes may be one value. Each
// caller gets a channel of its own, for as long as the supervisor lives.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	reader := make(chan struct{}, 1)
	s.readers = append(s.readers, reader)
	return reader
}

// changedLocked wakes all who wait for a change.
func (s *Supervisor) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
	for _, reader := range s.readers {
		select {
		case reader <- struct{}{}:
		default: // it has one to read already
		}
	}
}
