package drift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// Soon is the time between two looks at what nobody tells of. What differs is to be seen within two seconds.
	Soon = 1500 * time.Millisecond
	// peace is how long a part must have been left alone until the next repair is as prompt as the first.
	peace = 15 * time.Minute
	// remembered is how long a repair is told of.
	remembered = time.Hour
)

// patience are the times between two repairs: where somebody puts his own back at once, the node is not the place to fight it
// out, and each round is two writes of the status.
var patience = backoff.Doubling(2*time.Second, 5*time.Minute)

// rewatch are the times between two tries to watch directories that could not be.
var rewatch = backoff.Doubling(time.Second, 5*time.Minute)

// Part is a kind of things that make a node what it is.
type Part struct {
	// Name is what it is called in what is told, such as files.
	Name string
	// Policy is what is done about a difference.
	Policy func() v1alpha1.DriftPolicy
	// Every is the time between two looks when nothing is told.
	Every time.Duration
	// Look is what differs.
	Look func(context.Context) ([]Difference, error)
	// Repair makes it as it is to be. What it did is looked at again. Nil where others do.
	Repair func(context.Context, []Difference) error
	// Dirs are the directories in which a change has it looked at; nil where it is in none.
	Dirs func() []string
}

// Keeper looks after parts.
type Keeper struct {
	Parts []Part
	// Changed is called at each change of what Findings says, and must not ask for them itself.
	Changed func()
	Clock   clock.WithTicker
	Log     logr.Logger

	once   sync.Once
	follow chan struct{}   // the directories may be others
	looks  []chan struct{} // one a part

	mu     sync.Mutex
	states []state
	blind  bool // changes of directories are told by nobody
}

// state is what is known of a part.
type state struct {
	policy  v1alpha1.DriftPolicy
	found   []Difference
	failure error // why it could not be looked at, or repaired
	repairs int   // that are told of, since first
	first   time.Time
	last    time.Time
	next    time.Time // when it may be repaired again
	waits   wait.Backoff
	mended  []Difference
}

func (k *Keeper) prepare() {
	k.once.Do(func() {
		k.follow = make(chan struct{}, 1)
		k.states = make([]state, len(k.Parts))
		for range k.Parts {
			k.looks = append(k.looks, make(chan struct{}, 1))
		}
	})
}

// Look has every part looked at, and its directories, which may be others by now. It never blocks.
func (k *Keeper) Look() {
	k.prepare()
	notify(k.follow)
	k.lookAtAll()
}

func (k *Keeper) lookAtAll() {
	for _, c := range k.looks {
		notify(c)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is due already
	}
}

// Run looks after each change and every once in a while, until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	k.prepare()
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { k.watch(ctx) })
	for i := range k.Parts {
		parts.Go(func() { k.keep(ctx, i) })
	}
}

// watch has the parts looked at when something in their directories was changed. Where the kernel has no watches left, they
// are looked at all the more often, until it has again.
func (k *Keeper) watch(ctx context.Context) {
	for waits := rewatch; ctx.Err() == nil; {
		w, err := newWatcher()
		if err == nil {
			k.watchWith(ctx, w)
			return
		}
		k.sees(ctx, err)
		k.lookAtAll() // for the time of the next look to be that of a blind one
		k.pause(ctx, waits.Step())
	}
}

func (k *Keeper) watchWith(ctx context.Context, w *watcher) {
	var teller sync.WaitGroup
	defer teller.Wait()
	teller.Go(func() { w.tell(ctx, k.Look) })
	for waits := rewatch; ctx.Err() == nil; {
		err := w.follow(k.dirs())
		k.sees(ctx, err)
		k.lookAtAll() // at what was changed while nobody watched
		if err != nil {
			k.pause(ctx, waits.Step())
			continue
		}
		waits = rewatch
		select {
		case <-ctx.Done():
		case <-k.follow:
		}
	}
}

// pause waits for a time, or until the directories may be others.
func (k *Keeper) pause(ctx context.Context, d time.Duration) {
	timer := k.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-k.follow:
	case <-timer.C():
	}
}

// dirs are the directories of all parts.
func (k *Keeper) dirs() []string {
	var dirs []string
	for _, p := range k.Parts {
		if p.Dirs != nil {
			dirs = append(dirs, p.Dirs()...)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// sees takes down whether the kernel tells of changes, and logs when that is news.
func (k *Keeper) sees(ctx context.Context, err error) {
	switch news := k.setBlind(err != nil); {
	case !news || ctx.Err() != nil:
	case err != nil:
		k.Log.Error(err, "Will see some of what others change of files only when it looks, until they can be watched")
	default:
		k.Log.Info("Sees again what others change of files")
	}
}

// setBlind says whether that is news.
func (k *Keeper) setBlind(blind bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	news := k.blind != blind
	k.blind = blind
	return news
}

func (k *Keeper) keep(ctx context.Context, i int) {
	timer := k.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.looks[i]:
		case <-timer.C():
		}
		timer.Reset(k.look(ctx, i))
	}
}

// look looks at a part once, does what its policy says, and returns how soon to look again.
func (k *Keeper) look(ctx context.Context, i int) time.Duration {
	p := &k.Parts[i]
	policy := p.Policy()
	var found []Difference
	var err error
	if policy != v1alpha1.DriftIgnore {
		found, err = p.Look(ctx)
	}
	if ctx.Err() != nil {
		return p.Every
	}
	due, again := k.take(i, policy, found, err)
	if !due {
		return again
	}
	k.Log.Info("Found the node changed by others, and puts it back", "part", p.Name, "differences", found)
	err = p.Repair(ctx, found)
	left, lookErr := p.Look(ctx)
	if ctx.Err() != nil {
		return p.Every
	}
	return k.repaired(i, found, left, errors.Join(err, lookErr))
}

// take takes down what was seen, and says whether it is to be repaired now and, if not, when to look again.
func (k *Keeper) take(i int, policy v1alpha1.DriftPolicy, found []Difference, err error) (due bool, again time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, s, now := &k.Parts[i], &k.states[i], k.Clock.Now()
	before := k.saysLocked(i)
	s.policy, s.found = policy, found
	if err != nil || len(found) == 0 {
		s.failure = err
	}
	again = k.everyLocked(i)
	if now.Sub(s.last) > peace {
		s.waits, s.next = patience, time.Time{}
	}
	if now.Sub(s.last) > remembered {
		s.repairs, s.first = 0, time.Time{}
	}
	if len(found) > 0 && p.Repair != nil && policy == v1alpha1.DriftRepair {
		if due = !now.Before(s.next); !due {
			again = min(again, s.next.Sub(now))
		}
	}
	k.tellLocked(i, before)
	return due, again
}

// repaired takes down what a repair came to.
func (k *Keeper) repaired(i int, found, left []Difference, err error) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, now := &k.states[i], k.Clock.Now()
	before := k.saysLocked(i)
	s.found, s.failure, s.last, s.next = left, err, now, now.Add(s.waits.Step())
	if len(left) == 0 && err == nil {
		if s.repairs == 0 {
			s.first = now
		}
		s.repairs++
		s.mended = found
	}
	k.tellLocked(i, before)
	return min(k.everyLocked(i), s.next.Sub(now))
}

// everyLocked is the time between two looks at a part while nothing is told.
func (k *Keeper) everyLocked(i int) time.Duration {
	p := &k.Parts[i]
	if k.blind && p.Dirs != nil {
		return min(p.Every, Soon)
	}
	return p.Every
}

// tellLocked calls Changed where what is said of a part is another than before.
func (k *Keeper) tellLocked(i int, before string) {
	if k.Changed != nil && k.saysLocked(i) != before {
		k.Changed()
	}
}

func (k *Keeper) saysLocked(i int) string {
	s := &k.states[i]
	return fmt.Sprint(s.policy, s.found, s.failure, s.repairs, s.last.Unix())
}

// Findings tell of what differs, and for an hour of what was put back: whoever changed it may do so again.
func (k *Keeper) Findings() []v1alpha1.Finding {
	k.prepare()
	k.mu.Lock()
	defer k.mu.Unlock()
	var differ, mended []string
	for i := range k.Parts {
		s := &k.states[i]
		if text := s.standing(k.Parts[i].Name); text != "" {
			differ = append(differ, text)
		}
		if s.repairs > 0 && k.Clock.Now().Sub(s.last) < remembered {
			mended = append(mended, s.history(k.Parts[i].Name))
		}
	}
	var found []v1alpha1.Finding
	if len(differ) > 0 {
		found = append(found, finding.Warning(finding.Drift, "the node is not what its revision says: %s", finding.List(differ)))
	}
	if len(mended) > 0 {
		found = append(found, finding.Warning(finding.DriftRepaired, "something on the machine changed what is the node's, and it was put back: %s; find out what does that", finding.List(mended)))
	}
	return found
}

// standing is what is said of differences that are there.
func (s *state) standing(part string) string {
	switch what := list(s.found); {
	case len(s.found) == 0 && s.failure != nil:
		return fmt.Sprintf("its %s cannot be looked at: %s", part, s.failure)
	case len(s.found) == 0:
		return ""
	case s.policy == v1alpha1.DriftReport:
		return fmt.Sprintf("%s, which is left so, as the policy for %s is Report", what, part)
	case s.failure != nil:
		return fmt.Sprintf("%s, which could not be put back: %s", what, s.failure)
	case s.repairs > 0:
		return fmt.Sprintf("%s, which is put back at %s at the earliest, after %d times since %s", what, clockTime(s.next), s.repairs, clockTime(s.first))
	default:
		return what + ", which is put back"
	}
}

// history is what is said of repairs.
func (s *state) history(part string) string {
	if s.repairs == 1 {
		return fmt.Sprintf("%s at %s (%s)", part, s.last.UTC().Format(time.RFC3339), list(s.mended))
	}
	return fmt.Sprintf("%s %d times since %s, last at %s (%s)", part, s.repairs, s.first.UTC().Format(time.RFC3339), s.last.UTC().Format(time.RFC3339), list(s.mended))
}

func clockTime(t time.Time) string { return t.UTC().Format(time.TimeOnly) }

// shown is how many differences of a part are told one by one.
const shown = 3

func list(found []Difference) string {
	var items []string
	for i, d := range found {
		if i == shown {
			items = append(items, fmt.Sprintf("%d more", len(found)-shown))
			break
		}
		items = append(items, d.String())
	}
	return finding.List(items)
}
