package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/procfs"
)

// initOf returns the process ID, on the host, of the init of a machine in the default namespace.
func (w *World) initOf(t *testing.T, machine string) int {
	t.Helper()
	return w.localPID(t, client.ObjectKey{Namespace: "default", Name: machine})
}

// localPID returns the process ID, on the host, of a machine's init.
func (w *World) localPID(t *testing.T, machine client.ObjectKey) int {
	t.Helper()
	var local fleetv1.LocalMachine
	if err := w.Get(t.Context(), machine, &local); err != nil {
		t.Fatal(err)
	}
	if local.Status.PID == nil {
		t.Fatalf("local machine %s has no process ID: %+v", machine, local.Status)
	}
	return int(*local.Status.PID)
}

// component returns what a machine's agent reports of one of its components.
func (w *World) component(ctx context.Context, machine, name string) (*fleetv1.ComponentStatus, error) {
	var agent fleetv1.NodeAgent
	if err := w.Get(ctx, client.ObjectKey{Name: machine}, &agent); err != nil {
		return nil, err
	}
	for _, component := range agent.Status.Components {
		if component.Name == name {
			return &component, nil
		}
	}
	return nil, fmt.Errorf("%s reports no component %s", machine, name)
}

// hostPID translates a process ID of a machine to the host's.
func (w *World) hostPID(t *testing.T, machine string, pid int32) int {
	t.Helper()
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", w.initOf(t, machine)))
	if err != nil {
		t.Fatal(err)
	}
	return must[int](t)(findProcess(func(dir string) bool {
		if own, err := os.Readlink(filepath.Join(dir, "ns", "pid")); err != nil || own != namespace {
			return false
		}
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		for line := range strings.Lines(string(status)) {
			if ids, found := strings.CutPrefix(line, "NSpid:"); found {
				fields := strings.Fields(ids)
				return fields[len(fields)-1] == strconv.Itoa(int(pid))
			}
		}
		return false
	}))
}

// agentPID is the process ID, on the host, of a machine's agent: the child of its init.
func (w *World) agentPID(t *testing.T, machine string) (int, error) {
	t.Helper()
	parent := w.initOf(t, machine)
	return findProcess(func(dir string) bool {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := procfs.ReadStat(pid)
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		return err == nil && stat.Parent == parent && strings.Contains(string(arguments), "drover-agent\x00run")
	})
}

// renewAgent ends a machine's agent, and waits until its init has started another one.
func (w *World) renewAgent(t *testing.T, machine string) {
	t.Helper()
	agent := must[int](t)(w.agentPID(t, machine))
	kill(t, agent)
	eventually(t, podsDeadline, "init starts the agent again", func(context.Context) error {
		now, err := w.agentPID(t, machine)
		return errors.Join(err, unless(now != agent, "it is still process %d", agent))
	})
}

// managerPID is the process ID of the demo's manager.
func (w *World) managerPID(t *testing.T) int {
	t.Helper()
	return must[int](t)(findProcess(func(dir string) bool {
		executable, _ := os.Readlink(filepath.Join(dir, "exe"))
		return executable == filepath.Join(w.Root, ".drover", "bin", "drover-manager")
	}))
}

// routesPID is the process ID of what keeps the host's routes to pods.
func (w *World) routesPID(t *testing.T) int {
	t.Helper()
	return must[int](t)(findProcess(func(dir string) bool {
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		return strings.HasPrefix(string(arguments), filepath.Join(w.Root, ".drover", "bin", "drover-agent")+"\x00routes")
	}))
}

func findProcess(matches func(dir string) bool) (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		if matches(dir) {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, fmt.Errorf("no such process")
}

// must fails the test when there is an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// get calls a URL and wants 200.
func get(ctx context.Context, url string) error {
	return getWith(ctx, &http.Client{Timeout: 5 * time.Second}, url)
}

func getWith(ctx context.Context, asker *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := asker.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}
