package supervise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
	"github.com/drover-dev/drover/internal/procfs"
)

// record is what the next supervisor must know about a process, one file for each. It is written before the start
// with no PID (the process may exist or not), and again with the PID.
type record struct {
	Name      string   `json:"name"`
	PID       int      `json:"pid,omitempty"`
	StartTime uint64   `json:"startTime,omitempty"`
	Exe       string   `json:"exe"`
	Argv      []string `json:"argv"`
	Digest    string   `json:"digest"`
	// Running is false when the process was seen to end.
	Running     bool                   `json:"running"`
	LogFile     string                 `json:"logFile,omitempty"`
	LogOffset   int64                  `json:"logOffset,omitempty"`
	DependsOn   []string               `json:"dependsOn,omitempty"`
	StopTimeout time.Duration          `json:"stopTimeout,omitempty"`
	StartedAt   time.Time              `json:"startedAt,omitzero"`
	Restarts    int32                  `json:"restarts,omitempty"`
	LastExit    *fleetv1.ComponentExit `json:"lastExit,omitempty"`
	// Hangs is how often in a row it was ended because it hung, the last time at HungAt.
	Hangs  int       `json:"hangs,omitempty"`
	HungAt time.Time `json:"hungAt,omitzero"`
	// Failures is how often in a row it ended, the last time at EndedAt. ReadyAt is when it was first ready since it was
	// started.
	Failures int       `json:"failures,omitempty"`
	EndedAt  time.Time `json:"endedAt,omitzero"`
	ReadyAt  time.Time `json:"readyAt,omitzero"`
	// Repairs are the restarts that were to mend it, as far as they count.
	Repairs []repair `json:"repairs,omitempty"`
	// Replace is why the process that runs is to be replaced though it is as it is wanted; empty for no reason.
	Replace string `json:"replace,omitempty"`
	// Mend is why it is to be replaced as soon as the budget of repairs allows it; empty for no reason.
	Mend string `json:"mend,omitempty"`
}

// store keeps the records. They are in a directory that does not outlive a reboot, so they are renamed into place
// but not synced to a disk.
type store struct {
	dir string
}

func (s store) path(name string) string {
	return filepath.Join(s.dir, name+".json")
}

func (s store) write(rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("record process %s: %w", rec.Name, err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("record process %s: %w", rec.Name, err)
	}
	if err := atomicfile.Replace(s.path(rec.Name), bytes.NewReader(data), 0o600); err != nil {
		return fmt.Errorf("record process %s: %w", rec.Name, err)
	}
	return nil
}

func (s store) remove(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget process %s: %w", name, err)
	}
	return nil
}

// load reads every record. One that does not parse is left out: it was never complete.
func (s store) load() (map[string]record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read process records: %w", err)
	}
	records := map[string]record{}
	for _, entry := range entries {
		name, isRecord := strings.CutSuffix(entry.Name(), ".json")
		if !isRecord || strings.HasPrefix(name, ".") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the record of process %s: %w", name, err)
		}
		var rec record
		if json.Unmarshal(data, &rec) == nil && rec.Name == name {
			records[name] = rec
		}
	}
	return records, nil
}

// find takes hold of the recorded process if it still runs; nil means that it does not, and an error that nobody knows.
// One that is gone may have been started again when no record could be written, as with a full /run, and is then found by
// what it runs: a second one beside it would fight with it.
func (r *record) find() (*handle, error) {
	if r.Running && r.PID != 0 { // it is 0 when the supervisor ended between the start and the second write
		if h, err := r.findNumbered(); h != nil || err != nil {
			return h, err
		}
	}
	if len(r.Argv) == 0 {
		return nil, nil // there never was one
	}
	return r.findUnnumbered()
}

// findNumbered looks for the process by its PID and start time, which say that it is the same process. One that runs
// something else by now is not fit to be adopted: it loses its digest, so that it equals nothing that is wanted.
func (r *record) findNumbered() (*handle, error) {
	h, err := openHandle(r.PID)
	if procfs.IsGone(err) || errors.Is(err, unix.EINVAL) && r.isAnothers() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// Read after the handle was taken, so that the PID cannot change hands in between. It may be a kernel thread's by
	// now, which has no image.
	start, err := h.startTime()
	if err != nil || start != r.StartTime || start == 0 {
		h.close()
		return nil, err
	}
	img := h.image()
	if img.start == 0 {
		_, err := h.startTime() // it has ended, or cannot be read now
		h.close()
		return nil, err
	}
	if img.exe != r.Exe || !slices.Equal(img.argv, r.Argv) {
		r.Digest = ""
	}
	return h, nil
}

// isAnothers says whether the PID has become the number of a thread, which no handle can be taken of.
func (r *record) isAnothers() bool {
	stat, err := procfs.ReadStat(r.PID)
	return procfs.IsGone(err) || err == nil && stat.StartTime != r.StartTime
}

// findUnnumbered looks for the process by what it runs.
func (r *record) findUnnumbered() (*handle, error) {
	pid, err := findProcess(r.Exe, r.Argv)
	if err != nil || pid == 0 {
		return nil, err
	}
	h, err := openHandle(pid)
	if procfs.IsGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	img, err := readImage(pid)
	if err == nil && slices.Equal(img.argv, r.Argv) {
		r.PID, r.StartTime, r.Exe, r.Running = pid, img.start, img.exe, true
		return h, nil
	}
	h.close()
	if procfs.IsGone(err) {
		return nil, nil
	}
	return nil, err
}
