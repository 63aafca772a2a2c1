package machine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/drover-dev/drover/hack/dev/process"
)

const (
	// hung is how long a boot may say nothing. A busy host's takes 90 s in all, and says something every few seconds.
	hung = 60 * time.Second
	// watchEvery is how often the console is looked at.
	watchEvery = time.Second
)

// Watch resets the machine whenever its boot hangs, as an emulated kernel's does now and then in its first second, and
// returns when the machine is off. It notes in log what it does.
func (m *Machine) Watch(ctx context.Context, log io.Writer) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := watch{since: time.Now()}
	emulator, running := m.Running()
	for running {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			console, err := os.ReadFile(m.Console())
			if err != nil {
				return fmt.Errorf("read the console of machine %s: %w", m.Spec.Name, err)
			}
			if !w.hangs(console, now) {
				continue
			}
			if _, err := fmt.Fprintf(log, "%s The boot says nothing for %s: reset.\n", now.Format(time.RFC3339), hung); err != nil {
				return err
			}
			if _, err := m.Monitor(ctx, "system_reset"); err != nil {
				return err
			}
		}
		running = process.Alive(emulator)
	}
	return nil
}

// watch is what was seen of a console.
type watch struct {
	length int
	since  time.Time
}

// hangs is true when the machine has been booting for long without a word. It counts anew then.
func (w *watch) hangs(console []byte, now time.Time) bool {
	if len(console) != w.length || !booting(console) {
		w.length, w.since = len(console), now
	}
	if now.Sub(w.since) < hung {
		return false
	}
	w.since = now
	return true
}

// booting is true from the moment when a machine begins to boot until it asks who would log in on its console.
func booting(console []byte) bool {
	begins := max(bytes.LastIndex(console, []byte("] Linux version ")), bytes.LastIndex(console, []byte("reboot: Restarting system")))
	return bytes.LastIndex(console, []byte(" login: ")) <= begins
}
