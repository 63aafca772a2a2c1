package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/drover-dev/drover/internal/atomicfile"
)

// record is what is known of a machine on disk: written before the effect it speaks of where that cannot be found
// again by its name, so that a manager killed at any moment comes back to it.
type record struct {
	// UID is of what the machine was made for: one of the same name later is another machine.
	UID string `json:"uid"`
	// Bridge, Address (with the prefix length) and Gateway are the machine's for its life.
	Bridge  string `json:"bridge"`
	Address string `json:"address"`
	Gateway string `json:"gateway"`
	// MachineID is its /etc/machine-id.
	MachineID string `json:"machineID"`
	// Prepared is true once the directories and the bootstrap document are there. Nothing the machine could have
	// changed is written from then on.
	Prepared bool `json:"prepared,omitempty"`
	// Process is the first process of the last boot; it may be gone.
	Process *Process `json:"process,omitempty"`
	// Started is true once that process answered that the machine stands.
	Started bool `json:"started,omitempty"`
	// LastError is the sentence that says why the last boot did not get there. The next one that does clears it.
	LastError string `json:"lastError,omitempty"`
	// BootID is of the last boot.
	BootID string `json:"bootID,omitempty"`
	// Boots counts them; LastBoots are the latest, oldest first.
	Boots     int         `json:"boots,omitempty"`
	LastBoots []time.Time `json:"lastBoots,omitempty"`
	// Asked is true while a reboot is under way that somebody asked for.
	Asked bool `json:"asked,omitempty"`
}

const (
	rememberedBoots = 8
	// bootWindow is how long a boot counts against the next one, maxBootDelay the most it is put off.
	bootWindow   = 5 * time.Minute
	maxBootDelay = time.Minute
)

// bootDelay is how long the next boot of a machine that ended by itself must wait, maxBootDelay at most: a machine that
// keeps ending is started less and less often. Boots after now, from before the clock was set back, do not count.
func (r *record) bootDelay(now time.Time) time.Duration {
	var recent int
	var last time.Time
	for _, at := range r.LastBoots {
		if age := now.Sub(at); age >= 0 && age < bootWindow {
			recent++
			last = at
		}
	}
	if recent < 2 || r.Asked {
		return 0
	}
	delay := min(time.Second<<(recent-2), maxBootDelay)
	return max(0, last.Add(delay).Sub(now))
}

func (r *record) booting(p Process, bootID string, now time.Time) {
	r.Process, r.BootID, r.Started, r.Asked = &p, bootID, false, false
	r.Boots++
	r.LastBoots = append(r.LastBoots, now)
	if n := len(r.LastBoots); n > rememberedBoots {
		r.LastBoots = r.LastBoots[n-rememberedBoots:]
	}
}

// stands notes that the machine answered.
func (r *record) stands() { r.Started, r.LastError = true, "" }

// startProblem is why the last boot did not start the machine, nil if it did.
func (r *record) startProblem() error {
	if r.LastError == "" {
		return nil
	}
	return unmakeable(r.LastError)
}

// loadRecord returns nil without an error if there is none.
func loadRecord(path string) (*record, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the machine's record: %w", err)
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read the machine's record %s: %w", path, err)
	}
	return r, nil
}

func saveJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return saveFile(path, data)
}

// saveFile replaces a file so that, after a crash, it has the old content or the new. Only root reads it. It makes no
// directory: one that was removed meanwhile must not come back, with nobody's lock on it, for the sake of a record.
func saveFile(path string, data []byte) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.Write(path, data, 0o600)
}
