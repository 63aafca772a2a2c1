package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/drover-dev/drover/internal/atomicfile"
)

// OwnedName is the file, in the agent's run directory, of the parameters that the agent sets. It does not outlive a boot, and
// neither do they: after it each has the kernel's own value again.
const OwnedName = "sysctls.json"

// Owned is a kernel parameter that the agent sets.
type Owned struct {
	// Before is what it was when the agent was to set it first.
	Before string `json:"before"`
	// Asked is what the agent writes, and Set what the kernel made of it, empty until it has.
	Asked string `json:"asked"`
	Set   string `json:"set,omitempty"`
	// Least says that a larger number is as good.
	Least bool `json:"least,omitempty"`
}

// IsOurs says whether a value is the agent's, and not what somebody else has set since. An agent that ended between the record
// and the write may have left either.
func (o Owned) IsOurs(value string) bool { return sameValue(value, o.Set) || sameValue(value, o.Asked) }

// holds says whether a value is as it was set.
func (o Owned) holds(value string) bool {
	if o.Set == "" || sameValue(value, o.Set) {
		return true
	}
	have, err := strconv.ParseInt(value, 10, 64)
	set, setErr := strconv.ParseInt(o.Set, 10, 64)
	return o.Least && err == nil && setErr == nil && have > set
}

// sameValue compares what the kernel reads, which may be spaced otherwise than it was written.
func sameValue(a, b string) bool { return slices.Equal(strings.Fields(a), strings.Fields(b)) }

// LoadOwned is what an agent took down of the parameters that it sets, by their paths below /proc/sys.
func LoadOwned(runDir string) (map[string]Owned, error) {
	data, err := os.ReadFile(filepath.Join(runDir, OwnedName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var owned map[string]Owned
	if err == nil {
		err = json.Unmarshal(data, &owned)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the kernel's parameters were before: %w", err)
	}
	return owned, nil
}

// ownedLocked are the parameters that the agent sets. What an earlier agent took down and nobody can read is forgotten: the
// values that a node must have come before those that its reset gives back.
func (k *Kernel) ownedLocked() map[string]Owned {
	if k.owned == nil {
		k.owned, _ = LoadOwned(k.RunDir)
	}
	if k.owned == nil {
		k.owned = map[string]Owned{}
	}
	return maps.Clone(k.owned)
}

// takeDownLocked keeps what the agent sets, on disk before it does.
func (k *Kernel) takeDownLocked(owned map[string]Owned) error {
	if maps.Equal(owned, k.owned) {
		return nil
	}
	if k.RunDir != "" {
		data, err := json.Marshal(owned)
		if err == nil {
			_, err = atomicfile.WriteDerived(filepath.Join(k.RunDir, OwnedName), data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("take down what the kernel's parameters were before: %w", err)
		}
	}
	k.owned = maps.Clone(owned)
	return nil
}

// Drifted is a parameter that is not as the agent set it.
type Drifted struct {
	Name, Want, Have string
}

// DriftedSysctls are the parameters that are not as the agent set them, by name.
func (k *Kernel) DriftedSysctls() []Drifted {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owned == nil {
		return nil // nothing was set yet
	}
	var found []Drifted
	for key, o := range k.owned {
		if have := k.Host.Text(sysctlDir + key); !o.holds(have) {
			found = append(found, Drifted{Name: dottedName(key), Want: o.Set, Have: have})
		}
	}
	slices.SortFunc(found, func(a, b Drifted) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// RepairSysctls sets those parameters again, as they were set last.
func (k *Kernel) RepairSysctls() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for key, o := range k.owned {
		if o.holds(k.Host.Text(sysctlDir + key)) {
			continue
		}
		if err := k.writeSysctl(key, o.Asked); err != nil {
			errs = append(errs, fmt.Errorf("set %s to %s: %w", dottedName(key), o.Asked, err))
		}
	}
	return errors.Join(errs...)
}

// dottedName is the name of a file below /proc/sys.
func dottedName(key string) string { return strings.NewReplacer(".", "/", "/", ".").Replace(key) }
