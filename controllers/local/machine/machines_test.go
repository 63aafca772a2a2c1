package machine_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/controllers/local/machine/fakehost"
)

// newMachines are on a fake host.
func newMachines(t *testing.T, h *fakehost.Host) *machine.Machines {
	t.Helper()
	dir := t.TempDir()
	agent := filepath.Join(dir, "drover-agent")
	if err := os.WriteFile(agent, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return &machine.Machines{Root: filepath.Join(dir, "machines"), Host: h, AgentBinary: agent, Log: logr.Discard()}
}

func machineIn(namespace string) machine.Wanted {
	return machine.Wanted{Key: types.NamespacedName{Namespace: namespace, Name: "x"}, UID: "uid-" + namespace, Bridge: "drover0", Bootstrap: []byte("{}")}
}

func directoryOf(m *machine.Machines, key types.NamespacedName) string {
	return filepath.Join(m.Root, key.Namespace, key.Name)
}

func recordOf(m *machine.Machines, key types.NamespacedName) string {
	return filepath.Join(directoryOf(m, key), "record.json")
}

func TestAddressesAreNeverGivenTwice(t *testing.T) {
	const machines = 40
	first := newMachines(t, fakehost.New())
	var mu sync.Mutex
	given := map[netip.Addr]bool{}
	var wait sync.WaitGroup
	for i := range machines {
		// Each has a Machines of its own, as managers in several processes would.
		m := &machine.Machines{Root: first.Root, AgentBinary: first.AgentBinary, Host: fakehost.New()}
		want := machineIn(fmt.Sprint("ns", i%3))
		want.Key.Name = fmt.Sprint("m", i)
		wait.Go(func() {
			state, err := m.Ensure(t.Context(), want)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			given[state.Address] = true
		})
	}
	wait.Wait()
	if len(given) != machines {
		t.Errorf("%d machines have %d addresses", machines, len(given))
	}
}

func TestOneNameIsOneMachineOverAllNamespaces(t *testing.T) {
	m := newMachines(t, fakehost.New())
	if _, err := m.Ensure(t.Context(), machineIn("a")); err != nil {
		t.Fatal(err)
	}
	var problem *machine.Problem
	if _, err := m.Ensure(t.Context(), machineIn("b")); !errors.As(err, &problem) {
		t.Errorf("a second machine of the name: %v, want a problem", err)
	}
}

func TestAnotherMachineOfTheNameStartsAfresh(t *testing.T) {
	h := fakehost.New()
	m, want := newMachines(t, h), machineIn("a")
	first, err := m.Ensure(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	want.UID = "another"
	second, err := m.Ensure(t.Context(), want)
	if uid, unread := m.UID(want.Key); uid != want.UID || unread != nil {
		t.Errorf("the machine there is was made for %q (%v)", uid, unread)
	}
	if err != nil || second.Boots != 1 || second.Process == first.Process || h.Processes()[first.Process] {
		t.Errorf("the second machine is %+v (%v), the first was %+v", second, err, first)
	}
}
