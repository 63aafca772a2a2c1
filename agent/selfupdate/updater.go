package selfupdate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// settleWithin is how long an update waits for a change of the node that is made ready, and may never be. For one that has
	// begun it waits for as long as that takes: an agent that ends meanwhile counts against it.
	settleWithin = 10 * time.Minute
	settleEvery  = time.Second
)

// retries are the waits after a fetch that failed.
var retries = backoff.Doubling(time.Second, time.Minute)

// ErrRestart says that another version of the agent has its turn: this one ends, and is started again by whoever runs it.
var ErrRestart = errors.New("another version of the agent has its turn")

// Updater brings a machine to the version of the agent that is asked for.
type Updater struct {
	Programs *Programs
	// Lacks is what this agent, while it is on trial, lacks of having proved itself; "" for nothing. It has Within for that.
	Lacks  func(context.Context) string
	Within time.Duration
	// Heard says whether the API server took what this agent wrote, and Refused whether it refused what this one wrote last.
	Heard, Refused func() bool
	// Ready is called when this agent is here to stay.
	Ready func(context.Context)
	// Claim says that nothing is under way on the node that an end of the agent would count against, and keeps it so until Release
	// is called. With force what is under way and has touched nothing yet does not count.
	Claim   func(force bool) bool
	Release func()
	// Changed is called when what Status or Findings say has changed.
	Changed func()
	Log     logr.Logger

	mu       sync.Mutex
	told     bool
	wanted   *v1alpha1.AgentRelease
	obstacle string
	news     chan struct{}
	once     sync.Once
}

func (u *Updater) changes() chan struct{} {
	u.once.Do(func() { u.news = make(chan struct{}, 1) })
	return u.news
}

// Want takes in the version that is asked for, nil for none.
func (u *Updater) Want(release *v1alpha1.AgentRelease) {
	u.mu.Lock()
	news := !u.told || digestOf(release) != digestOf(u.wanted)
	u.told, u.wanted = true, release.DeepCopy()
	u.mu.Unlock()
	if news {
		u.notify()
	}
}

func (u *Updater) notify() {
	select {
	case u.changes() <- struct{}{}:
	default:
	}
}

// imageOf is the image of a release for this machine, "" for none.
func imageOf(release *v1alpha1.AgentRelease) string {
	if release == nil {
		return ""
	}
	i := slices.IndexFunc(release.Artifacts, func(a v1alpha1.Artifact) bool { return a.Architecture == runtime.GOARCH })
	if i < 0 {
		return ""
	}
	return release.Artifacts[i].Image
}

func digestOf(release *v1alpha1.AgentRelease) string {
	image := imageOf(release)
	return image[strings.LastIndex(image, "@")+1:]
}

// Run has this agent prove itself, if it is on trial, and then follows what is asked for until the context ends, or until it is
// another version's turn: then it returns ErrRestart.
func (u *Updater) Run(ctx context.Context) error {
	if u.Programs.OnTrial() != "" {
		if proved, err := u.Programs.prove(ctx, u.Within, u.Lacks, u.Refused); !proved {
			return err
		}
		u.Changed()
	}
	u.Ready(ctx)
	u.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.changes():
		}
		if err := u.follow(ctx); err != nil {
			return err
		}
	}
}

// follow goes for the version that is asked for now, until it is there or another one is asked for.
func (u *Updater) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.mu.Lock()
	release := u.wanted
	u.mu.Unlock()
	go u.endAtNews(ctx, cancel)
	for waits := retries; ; {
		ready, err := u.stage(ctx, release)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil && ready {
			err = u.begin(ctx, release)
		}
		if errors.Is(err, ErrRestart) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		u.hinder(release, err)
		if err == nil {
			u.tidy(ctx)
			return nil
		}
		if backoff.Wait(ctx, waits.Step()) != nil {
			return nil
		}
	}
}

// endAtNews ends what is done for one version when another one is asked for, and leaves the news where they were.
func (u *Updater) endAtNews(ctx context.Context, cancel func()) {
	select {
	case <-ctx.Done():
	case <-u.changes():
		u.notify()
		cancel()
	}
}

// stage makes sure of the version's program, and says whether it is to be tried.
func (u *Updater) stage(ctx context.Context, release *v1alpha1.AgentRelease) (bool, error) {
	p, digest := u.Programs, digestOf(release)
	if err := errors.Join(u.forget(digest), u.review(digest)); err != nil {
		return false, err
	}
	switch {
	case p.gaveUp(digest):
		return false, nil
	case release == nil || digest != "" && digest == p.Running():
		return false, nil
	case digest == "":
		return false, fmt.Errorf("spec.agent has no image for %s", runtime.GOARCH)
	case algorithm+p.at(currentName) == digest:
		return false, errors.New("its program cannot be run any more, and the one that the machine was set up with goes on: ask for another version")
	}
	b, err := p.store().Ensure(ctx, imageOf(release))
	if err == nil {
		_, err = os.Stat(filepath.Join(b.Dir, ProgramName))
	}
	if err != nil {
		return false, err
	}
	return true, nil
}

// forget takes away what is on disk of another version than the one that is asked for.
func (u *Updater) forget(digest string) error {
	s := u.Programs.read()
	before := s
	if s.Failed != nil && s.Failed.Digest != digest {
		s.Failed = nil
	}
	if s.Trial != nil && s.Trial.Digest != digest {
		s.Trial = nil
	}
	if s.Pardoned != digest {
		s.Pardoned = ""
	}
	if s == before {
		return nil
	}
	defer u.Changed()
	return u.Programs.write(s)
}

// review looks again at a version that was given up because the API server refused what it wrote. Where it refuses what this one
// writes as well, that was not the version's fault: it is tried again when the API server takes it.
func (u *Updater) review(digest string) error {
	s := u.Programs.read()
	if s.Failed != nil && s.Failed.Refused {
		switch {
		case u.Refused():
			s.Pardoned, s.Failed = digest, nil
		case u.Heard():
			s.Failed.Refused = false
		default:
			return errors.New("it is not known yet whether the API server takes what the agent before it writes")
		}
		if err := u.Programs.write(s); err != nil {
			return err
		}
		u.Changed()
	}
	if s.Pardoned != "" && (u.Refused() || !u.Heard()) {
		return errors.New("the API server refuses what any agent writes, so that none can prove itself")
	}
	return nil
}

// begin gives a version its turn when the node has settled, or is not about to.
func (u *Updater) begin(ctx context.Context, release *v1alpha1.AgentRelease) error {
	deadline := time.Now().Add(settleWithin)
	for !u.Claim(time.Now().After(deadline)) {
		if err := backoff.Wait(ctx, settleEvery); err != nil {
			return err
		}
	}
	s := u.Programs.read()
	if s.Trial == nil || s.Trial.Digest != digestOf(release) {
		s.Trial = &trial{Version: release.Version, Digest: digestOf(release)}
	}
	s.Pardoned = ""
	if err := u.Programs.write(s); err != nil {
		u.Release()
		return err
	}
	u.Log.Info("Made way for another version of the agent", "version", release.Version, "digest", s.Trial.Digest)
	return ErrRestart
}

// hinder takes down why the version is not there, or with nil that nothing stands in its way.
func (u *Updater) hinder(release *v1alpha1.AgentRelease, err error) {
	text := ""
	if err != nil {
		u.Log.Error(err, "Could not get the version of the agent that is asked for")
		name := ""
		if release != nil {
			name = " " + release.Version
		}
		text = fmt.Sprintf("the agent%s is not there yet, and the one that runs goes on: %s", name, err)
	}
	u.mu.Lock()
	changed := u.obstacle != text
	u.obstacle = text
	u.mu.Unlock()
	if changed {
		u.Changed()
	}
}

// tidy removes the agents that nothing needs. Those that stay are no harm.
func (u *Updater) tidy(ctx context.Context) {
	var keep []string
	if t := u.Programs.read().Trial; t != nil {
		keep = append(keep, t.Digest)
	}
	if err := u.Programs.collect(ctx, keep...); err != nil && ctx.Err() == nil {
		u.Log.Error(err, "Failed to remove agents that nothing needs")
	}
}

// Status is where the agent's program is from that proved itself last, and what was given up; nil for neither.
func (u *Updater) Status() *v1alpha1.AgentProgram {
	status := v1alpha1.AgentProgram{Digest: u.Programs.Good()}
	if f := u.Programs.read().Failed; f != nil {
		status.Failed = &v1alpha1.FailedAgent{Version: f.Version, Digest: f.Digest, Reason: f.Reason, Message: f.Message, Time: f.Time}
	}
	if status == (v1alpha1.AgentProgram{}) {
		return nil
	}
	return &status
}

// Findings are why the agent is not the one that is asked for.
func (u *Updater) Findings() []v1alpha1.Finding {
	u.mu.Lock()
	text := u.obstacle
	u.mu.Unlock()
	if f := u.Programs.read().Failed; f != nil {
		again := "until spec.agent asks for another one"
		if f.Refused {
			again = "unless the API server refuses what the one before it writes too"
		}
		text = fmt.Sprintf("the agent %s was given up, and the one before it is back: %s; it is not tried again %s", f.Version, f.Message, again)
	}
	if text == "" {
		return nil
	}
	return []v1alpha1.Finding{finding.Warning(finding.AgentUpdate, "%s", text)}
}
