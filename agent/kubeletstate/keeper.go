// Package kubeletstate keeps what a kubelet remembers in files of its own, such as which processors containers have to
// themselves, usable for the kubelet that is started next.
//
// A later minor version writes some of them as an earlier one cannot read, and a kubelet does not start with a file that it
// cannot read. So what a version leaves is taken down when another one is started, and put back when a node goes back to
// that minor version. A file that holds nothing of use, as after a power cut, is removed: the kubelet makes it anew.
package kubeletstate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// names are the files, below the kubelet's directory, that it reads when it starts. All of them are JSON.
var names = []string{
	"cpu_manager_state",
	"memory_manager_state",
	"dra_manager_state",
	"allocated_pods_state",
	"actuated_pods_state",
	"device-plugins/kubelet_internal_checkpoint",
}

// maxBytes is how large a file may be to be taken down; a node's thousands of pods need a tenth of that.
const maxBytes = 8 << 20

// Keeper looks after the files of one node's kubelet.
type Keeper struct {
	// KubeletDir is the kubelet's directory.
	KubeletDir string
	// Path is where it takes down what an earlier version left.
	Path string
	Log  logr.Logger
}

// record is what is taken down.
type record struct {
	// Version is that of the kubelet that was started last.
	Version string `json:"version"`
	// Before is what the last one of another minor version before it left.
	Before *snapshot `json:"before,omitempty"`
	// Restore is what is yet to be put back for it.
	Restore *snapshot `json:"restore,omitempty"`
}

// snapshot is the content of the files that were there, by name.
type snapshot struct {
	Version string            `json:"version"`
	Files   map[string][]byte `json:"files"`
}

// Prepare is called before each start of a kubelet, when none runs.
func (k *Keeper) Prepare(version string) error {
	last, err := k.read()
	if err != nil {
		return err
	}
	if last.Version != version {
		if last, err = k.changed(last, version); err != nil {
			return errors.Join(err, k.removeBroken())
		}
	}
	if last.Restore != nil {
		if err := k.restore(last); err != nil {
			return err
		}
	}
	return k.removeBroken()
}

// changed takes down what the last version left, and that another one follows.
func (k *Keeper) changed(last record, version string) (record, error) {
	next := record{Version: version, Before: last.Before, Restore: last.Restore}
	if last.Version != "" && !sameMinor(last.Version, version) { // else it finds the files as they are
		files, err := k.take()
		if err != nil {
			return last, err
		}
		next.Before, next.Restore = &snapshot{Version: last.Version, Files: files}, nil
		if last.Before != nil && sameMinor(last.Before.Version, version) {
			next.Restore = last.Before
		}
	}
	return next, k.write(next)
}

func sameMinor(a, b string) bool {
	class, _ := disruption.OfVersions(a, b)
	return class != disruption.Drain
}

// restore puts files back as a version had left them, and removes those that it had not.
func (k *Keeper) restore(r record) error {
	for _, name := range names {
		path := filepath.Join(k.KubeletDir, name)
		content, had := r.Restore.Files[name]
		var err error
		if had {
			err = atomicfile.Write(path, content, 0o600)
		} else {
			err = ignoreMissing(os.Remove(path))
		}
		if err != nil {
			return fmt.Errorf("put back what kubelet %s had left: %w", r.Version, err)
		}
	}
	k.Log.Info("Put back the kubelet's state files as its version had left them", "version", r.Version)
	r.Restore = nil
	return k.write(r)
}

// take reads the files that are there.
func (k *Keeper) take() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range names {
		path := filepath.Join(k.KubeletDir, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Size() > maxBytes {
			k.Log.Info("Left out a state file of the kubelet that is too large", "file", path, "bytes", info.Size())
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("take down the kubelet's state: %w", err)
		}
		files[name] = content
	}
	return files, nil
}

// removeBroken removes the files that no kubelet can read.
func (k *Keeper) removeBroken() error {
	var failed error
	for _, name := range names {
		path := filepath.Join(k.KubeletDir, name)
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && json.Valid(content) {
			continue
		}
		if err == nil {
			k.Log.Info("Removed a state file of the kubelet that it could not have started with", "file", path, "bytes", len(content))
			err = ignoreMissing(os.Remove(path))
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// read is what was taken down; nothing where that is of no use.
func (k *Keeper) read() (record, error) {
	data, err := os.ReadFile(k.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("read what earlier kubelets left: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		k.Log.Error(err, "Could not make sense of what was taken down of the kubelet's state", "file", k.Path)
		return record{}, nil
	}
	return r, nil
}

func (k *Keeper) write(r record) error {
	data, err := json.Marshal(r)
	if err == nil {
		err = atomicfile.Write(k.Path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("take down the kubelet's state: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
