// Package machine runs virtual machines from an image, attached to a bridge of this host, by plain emulation: no KVM is
// needed. A machine's disk is an overlay on the image's, and goes with it.
//
// A process of a machine is known by the mark in its environment that hack/dev/process gives it: nothing else is ever ended.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/hack/vm/image"
)

// Machines are the virtual machines of one checkout.
type Machines struct {
	layout layout.Layout
}

// Of returns the checkout's.
func Of(l layout.Layout) Machines { return Machines{layout: l} }

// Image is what they start from.
func (ms Machines) Image() image.Image { return image.Image{Dir: ms.layout.VM("image")} }

// Spec is a machine to start.
type Spec struct {
	Name    string
	Address netip.Addr
	// Bridge is the link it is attached to, and whose address is its gateway.
	Bridge string
	// Memory is in MiB.
	Memory int
	CPUs   int
}

// What a machine has that nobody said otherwise of: enough for a node with a few pods.
const (
	DefaultMemory = 2048
	DefaultCPUs   = 2
)

// Machine is one, running or not.
type Machine struct {
	Spec Spec

	dir   string
	world string
}

// names are DNS labels: a machine's is its host name as well.
var names = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?$`)

// named is the machine of that name, whether there is one or not.
func (ms Machines) named(name string) (*Machine, error) {
	if !names.MatchString(name) {
		return nil, fmt.Errorf("a machine's name is a DNS label (a-z, 0-9, -), not %q", name)
	}
	return &Machine{Spec: Spec{Name: name}, dir: ms.layout.VM("machines", name), world: ms.layout.Root()}, nil
}

// Get reads what is recorded of a machine.
func (ms Machines) Get(name string) (*Machine, error) {
	m, err := ms.named(name)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(m.path("machine.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no machine %s: `drover-vm list` tells which there are", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of machine %s: %w", name, err)
	}
	if err := json.Unmarshal(raw, &m.Spec); err != nil {
		return nil, fmt.Errorf("read the record of machine %s: %w", name, err)
	}
	return m, nil
}

// Names are those of the machines that are there, whole or not.
func (ms Machines) Names() ([]string, error) {
	entries, err := os.ReadDir(ms.layout.VM("machines"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the machines: %w", err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() {
			found = append(found, e.Name())
		}
	}
	return found, nil
}

// record writes what the machine is, before anything is made of it.
func (m *Machine) record() error {
	raw, err := json.Marshal(m.Spec)
	if err == nil {
		err = os.MkdirAll(m.dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(m.path("machine.json"), append(raw, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("record machine %s: %w", m.Spec.Name, err)
	}
	return nil
}

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

// Console is the file that holds what the machine wrote to its serial line.
func (m *Machine) Console() string { return m.path("console") }

// processes are the machine's emulator, with one that watches it.
func (m *Machine) processes() []process.ID {
	return append(process.Find(m.world, m.watcher()), process.Find(m.world, m.emulator())...)
}

// Running is its emulator, if it runs.
func (m *Machine) Running() (process.ID, bool) {
	found := process.Find(m.world, m.emulator())
	if len(found) == 0 {
		return process.ID{}, false
	}
	return found[0], true
}

func (m *Machine) emulator() string { return "vm " + m.Spec.Name }
func (m *Machine) watcher() string  { return "watch vm " + m.Spec.Name }

// String says in a line what and how it is.
func (m *Machine) String() string {
	if id, running := m.Running(); running {
		return fmt.Sprintf("%s at %s: runs as process %d", m.Spec.Name, m.Spec.Address, id.PID)
	}
	return fmt.Sprintf("%s at %s: is off", m.Spec.Name, m.Spec.Address)
}

// taps match the names of the machines' links.
var taps = regexp.MustCompile(`^drover-vm[0-9a-f]{6}$`)

// IsTap is true for the name of a machine's link.
func IsTap(link string) bool { return taps.MatchString(link) }

// digest is of the machine's name and its checkout, as links' and cards' names are for a whole host.
func (m *Machine) digest() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(m.dir))
	return h.Sum32() >> 8
}

// Link is the name of the machine's link on the host. It fills the 15 characters that one may have.
func (m *Machine) Link() string { return fmt.Sprintf("drover-vm%06x", m.digest()) }

// mac is an address of QEMU's range.
func (m *Machine) mac() string {
	d := m.digest()
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", d>>16&0xff, d>>8&0xff, d&0xff)
}
