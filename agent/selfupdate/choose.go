package selfupdate

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/notify"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// maxStarts is how often a version on trial is started in one boot of the machine, and maxBoots in how many: that the machine
	// was started anew is not its fault, unless it keeps being.
	maxStarts = 3
	maxBoots  = 3
	// itsTime is how long a version has run that is not started again when it ends without having proved itself.
	itsTime = time.Minute
)

// moment is when an agent is started: in which boot of the machine, and how long after that.
type moment struct {
	Boot  string
	Since time.Duration
}

// Become has the program that is to run take this one's place, under its process ID, if it is another one. Each agent calls it
// before it does anything else, and goes on when it returns.
func (p *Programs) Become(runner notify.Runner) {
	for range 2 { // the one on trial, and if that cannot be run the one that proved itself
		path := p.choose(thisMoment())
		if path == "" {
			return
		}
		if err := runner.Say(notify.Status + "Runs " + path); err != nil {
			p.Log.Error(err, "Went on all the same")
		}
		err := unix.Exec(path, os.Args, append(os.Environ(), runner.Environment()...))
		p.notStarted(path, err)
	}
}

// choose says which program is to run in this one's place: the one on trial, whose start it counts, or else the one that proved
// itself last. "" is for this one to go on.
func (p *Programs) choose(now moment) string {
	if path := p.trial(now); path != "" {
		return path
	}
	if current := CurrentPath(p.Dir); p.at(currentName) != "" && p.OnTrial() == "" && !isSelf(current) {
		return current
	}
	return ""
}

// trial is the program on trial, if it is to be started.
func (p *Programs) trial(now moment) string {
	s := p.read()
	t := s.Trial
	switch {
	case t == nil:
		return ""
	case p.settled(t):
		p.note(p.write(state{}))
		return ""
	case isSelf(p.path(t.Digest)):
		return "" // its start was counted by the one that started it
	}
	if spent := t.spent(now); spent != "" {
		p.note(p.giveUp(t, failure{Reason: v1alpha1.ReasonExited, Message: spent}))
		return ""
	}
	if !p.proved(t.Digest) {
		s.Trial = nil // it is fetched again
		p.note(p.write(s))
		return ""
	}
	t.count(now)
	if err := p.write(s); err != nil {
		p.note(err) // it could be started again and again
		return ""
	}
	return p.path(t.Digest)
}

// settled says whether a version has proved itself already, of which an agent that was killed could not take it down.
func (p *Programs) settled(t *trial) bool { return algorithm+p.at(currentName) == t.Digest }

// spent says why a version is not started once more, "" if it is.
func (t *trial) spent(now moment) string {
	why := ""
	switch again := t.Boot == now.Boot; {
	case t.Starts == 0:
	case again && t.Last > 0 && now.Since-t.Last >= itsTime:
		why = fmt.Sprintf("it ended, or was ended, %s after its start", (now.Since - t.Last).Round(time.Second))
	case again && t.Starts >= maxStarts:
		why = fmt.Sprintf("it ended %d times in a row", t.Starts)
	case !again && t.Boots >= maxBoots:
		why = fmt.Sprintf("the machine was started anew %d times", t.Boots)
	}
	if why != "" {
		why += " without having proved itself"
		if t.Said != "" {
			why += ": " + t.Said
		}
	}
	return why
}

func (t *trial) count(now moment) {
	if t.Boot != now.Boot {
		t.Boot, t.Starts = now.Boot, 0
		t.Boots++
	}
	t.Starts++
	t.Last = now.Since
}

// notStarted takes down that the program which choose chose cannot be run, so that this one goes on.
func (p *Programs) notStarted(path string, err error) {
	p.Log.Error(err, "Could not run the agent that is to run", "path", path)
	if t := p.read().Trial; t != nil && p.path(t.Digest) == path {
		p.note(p.giveUp(t, failure{Reason: v1alpha1.ReasonNotStarted, Message: "it cannot be run: " + err.Error()}))
	}
}

// OnTrial is the version of this very program, if it has yet to prove itself; "" if not.
func (p *Programs) OnTrial() string {
	if t := p.read().Trial; t != nil && !p.settled(t) && isSelf(p.path(t.Digest)) {
		return t.Version
	}
	return ""
}

// Said takes down why a version on trial ends, for whoever gives it up.
func (p *Programs) Said(err error) {
	if s := p.read(); s.Trial != nil {
		s.Trial.Said = v1alpha1.BoundMessage(err.Error())
		p.note(p.write(s))
	}
}

// Excuse takes back that a version on trial was started: somebody told it to end.
func (p *Programs) Excuse() {
	if s := p.read(); s.Trial != nil && s.Trial.Starts > 0 {
		s.Trial.Starts, s.Trial.Last = s.Trial.Starts-1, 0
		p.note(p.write(s))
	}
}

// note logs what cannot be written: an agent goes on without.
func (p *Programs) note(err error) {
	if err != nil {
		p.Log.Error(err, "Could not take down what became of a version of the agent")
	}
}
