// Package journal records what the development world does to its host. An entry is on disk before the deed is done,
// so that whatever happens in between, `down` knows what there may be to undo; undoing what never happened is
// harmless.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/drover-dev/drover/internal/atomicfile"
	"github.com/drover-dev/drover/internal/procfs"
)

// Kind is what was done.
type Kind string

// The kinds of entries.
const (
	// Process: a process was started. Name is the process's, PID and StartTime tell it from any other; both are
	// zero if the run ended between the entry and the start, and it is then found by its environment.
	Process Kind = "process"
	// Link: a network link called Name was made.
	Link Kind = "link"
	// Sysctl: the kernel parameter Name, which was Former, is changed to Set, now or by a machine later on.
	Sysctl Kind = "sysctl"
	// NFTable: the nftables table Name was made.
	NFTable Kind = "nftables"
	// Routes: routes to pods in the range Name may have been made.
	Routes Kind = "routes"
	// Machines: the manager may have made local machines under Name.
	Machines Kind = "machines"
	// Files: the file or folder Name was made and holds nothing worth keeping.
	Files Kind = "files"
)

// Entry is one deed.
type Entry struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Former is a sysctl's value before, Set the one that it is given.
	Former string `json:"former,omitempty"`
	Set    string `json:"set,omitempty"`
	// PID and StartTime (in clock ticks since the host's boot) identify a process.
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"`
}

// Journal is the record of one world.
type Journal struct {
	path string
	copy string
	// World is the world's folder, if there is a copy, which lies elsewhere.
	World string `json:"world,omitempty"`
	// Started is when the first entry was made.
	Started time.Time `json:"started"`
	// Boot is the ID of the host's boot that it was made in. A record without one, of an older program, counts as of
	// this boot.
	Boot string `json:"boot,omitempty"`
	// Complete is true once the control plane was up.
	Complete bool `json:"complete"`
	// Entries are in the order of the deeds.
	Entries []Entry `json:"entries"`
}

// Open reads the journal at path, or starts an empty one that is first written by Record. Exists tells which. Of a
// record that an earlier boot left it keeps only what is on disk: the rest went with that boot, and what has its name
// or its value now is somebody else's.
func Open(path string) (*Journal, error) {
	j := &Journal{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of an earlier run: %w", err)
	}
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, fmt.Errorf("read the record of an earlier run, %s: %w", path, err)
	}
	if j.OfEarlierBoot() {
		j.Complete = false
		j.Entries = slices.DeleteFunc(j.Entries, func(e Entry) bool { return endsWithBoot(e.Kind) })
	}
	return j, nil
}

// OfEarlierBoot is true when the host was booted again since.
func (j *Journal) OfEarlierBoot() bool {
	now := bootID()
	return j.Boot != "" && now != "" && j.Boot != now
}

func endsWithBoot(kind Kind) bool {
	return slices.Contains([]Kind{Process, Link, Sysctl, NFTable, Routes}, kind)
}

// bootID is empty where the kernel does not tell it (random(4)).
func bootID() string {
	id, _ := procfs.BootID()
	return id
}

// KeepCopy has a copy written and removed with the journal. It says whose world it tells of, and is there when that
// world's folder is not.
func (j *Journal) KeepCopy(path, world string) { j.copy, j.World = path, world }

// Exists is true when something was done and not undone.
func (j *Journal) Exists() bool { return len(j.Entries) > 0 }

// Record adds an entry, or replaces the one of the same kind and name, and writes the journal. A sysctl's former
// value is never replaced.
func (j *Journal) Record(e Entry) error {
	if !j.Exists() {
		j.Started, j.Boot = time.Now().UTC().Truncate(time.Second), bootID()
	}
	i := slices.IndexFunc(j.Entries, func(o Entry) bool { return o.Kind == e.Kind && o.Name == e.Name })
	switch {
	case i < 0:
		j.Entries = append(j.Entries, e)
	case e.Kind == Sysctl:
		return nil
	default:
		j.Entries[i] = e
	}
	return j.write()
}

// MarkComplete records that the control plane was up.
func (j *Journal) MarkComplete() error {
	j.Complete = true
	return j.write()
}

// Of returns the entries of a kind, oldest first.
func (j *Journal) Of(kind Kind) []Entry {
	var found []Entry
	for _, e := range j.Entries {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// Undo calls undo for each entry, newest first, and forgets those it succeeds for. It goes on after an error, so
// that one thing that is stuck does not keep the rest; the errors are joined.
func (j *Journal) Undo(undo func(Entry) error) error {
	var failed []Entry
	var errs []error
	for _, e := range slices.Backward(j.Entries) {
		if err := undo(e); err != nil {
			errs = append(errs, err)
			failed = append(failed, e)
		}
	}
	slices.Reverse(failed)
	j.Entries, j.Complete = failed, false
	if len(failed) > 0 {
		return errors.Join(append(errs, j.write())...)
	}
	for _, path := range j.paths() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the record of this run: %w", err)
		}
	}
	return nil
}

// write replaces the file as a whole: a reader, and a run after a crash, sees the old one or the new one.
func (j *Journal) write() error {
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("record what is done to this host: %w", err)
	}
	for _, path := range j.paths() {
		if err := atomicfile.Write(path, append(raw, '\n'), 0o600); err != nil {
			return fmt.Errorf("record what is done to this host: %w", err)
		}
	}
	return nil
}

func (j *Journal) paths() []string {
	if j.copy == "" {
		return []string{j.path}
	}
	return []string{j.path, j.copy}
}
