package machineinit

import (
	"time"

	"github.com/drover-dev/drover/agent/notify"
)

// vigil is whether the agent lives, as far as it says so. One that says nothing, as an older one, is let be.
type vigil struct {
	patience time.Duration
	ear      *notify.Ear // nil when nothing is listened to
	overdue  *time.Timer

	spoke, ready bool
}

func newVigil(patience time.Duration, socket string) vigil {
	v := vigil{patience: patience, overdue: time.NewTimer(time.Hour)}
	v.overdue.Stop()
	if patience <= 0 {
		return v
	}
	var err error
	if v.ear, err = notify.Listen(socket); err != nil {
		say("Nobody hears whether the agent lives: %v", err)
	}
	return v
}

func (v *vigil) heard() <-chan notify.Word {
	if v.ear == nil {
		return nil
	}
	return v.ear.Heard()
}

func (v *vigil) environment() []string {
	if v.ear == nil {
		return nil
	}
	return v.ear.Environment(v.patience)
}

// begin is for a process that was not heard of yet.
func (v *vigil) begin() {
	v.spoke, v.ready = false, false
	v.overdue.Stop()
}

// hear takes in what the agent says: once it has spoken it has to be ready in time, and from then on to go on speaking.
func (v *vigil) hear(words string) {
	v.ready = v.ready || notify.Says(words, notify.Ready)
	if v.ready || !v.spoke {
		v.overdue.Reset(v.patience)
	}
	v.spoke = true
}
