package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/node"
)

const (
	// startTimeout bounds a boot, from the word to go to the machine's answer.
	startTimeout = 30 * time.Second
	// adoptTimeout is how long a machine found half-way through its boot has to get there.
	adoptTimeout = 5 * time.Second
	adoptRetry   = 20 * time.Millisecond
	// stopTimeout is how long init has after SIGTERM, killTimeout how long the kernel has after SIGKILL.
	stopTimeout = (stopSeconds + 3) * time.Second
	killTimeout = 20 * time.Second
	// maxConsole is when the console's log starts anew.
	maxConsole = 8 << 20
)

// adopt says whether the machine runs. One found between the word to go and its answer gets a moment; one whose
// manager ended before the word ends by itself. An error says that nobody knows, and the machine is to be left alone.
func (m *Machines) adopt(ctx context.Context, l layout, r *record) (bool, error) {
	if r.Process == nil {
		return false, nil
	}
	alive, err := m.Host.Alive(*r.Process)
	if err != nil || !alive || r.Started {
		return alive, err
	}
	for deadline := m.now().Add(adoptTimeout); m.now().Before(deadline); {
		id, err := m.Host.ReadInside(*r.Process, node.BootIDPath)
		if err == nil && strings.TrimSpace(string(id)) == r.BootID {
			r.stands()
			return true, saveJSON(l.record(), r)
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait for the machine to stand: %w", ctx.Err())
		case <-time.After(adoptRetry):
		}
		if alive, err := m.Host.Alive(*r.Process); err != nil || !alive {
			return false, err
		}
	}
	return false, nil
}

// boot starts the machine. Its first process waits until the record names it: a manager killed at any point leaves
// either a recorded process or one that ends by itself, so there is never a second one.
func (m *Machines) boot(ctx context.Context, in inputs, r *record) error {
	if r.Process != nil {
		if err := m.kill(ctx, *r.Process); err != nil {
			return err
		}
	}
	bootID := uuid.NewString()
	in.agentBinary, in.sharedBundles = m.AgentBinary, m.SharedBundles
	in.record = *r
	in.record.BootID = bootID
	in.cgroupParent = m.cgroupParent()
	cgroups := renderCgroups(in)
	if err := m.clear(ctx, in, cgroups); err != nil {
		return err
	}
	waiting, err := m.launch(in, cgroups)
	if err != nil {
		return err
	}
	if err := m.Host.AttachLink(renderLink(in), waiting.Process()); err != nil {
		waiting.Abort()
		return err
	}
	r.booting(waiting.Process(), bootID, m.now())
	if err := saveJSON(in.layout.record(), r); err != nil {
		waiting.Abort()
		return err
	}
	if err := waiting.Go(ctx, startTimeout); err != nil {
		return m.didNotStart(in.layout, r, err)
	}
	r.stands()
	m.Log.Info("Started a machine", "namespace", in.layout.namespace, "machine", in.layout.name, "pid", r.Process.PID, "address", r.Address, "boot", r.Boots)
	return saveJSON(in.layout.record(), r)
}

// didNotStart keeps the cause for as long as the next boot is put off.
func (m *Machines) didNotStart(l layout, r *record, cause error) error {
	r.LastError = fmt.Sprintf("The machine did not start: %v.", cause)
	if err := saveJSON(l.record(), r); err != nil {
		m.Log.Error(err, "Failed to keep why a machine did not start", "namespace", l.namespace, "machine", l.name)
	}
	return r.startProblem()
}

// clear removes what the last boot left outside of the machine.
func (m *Machines) clear(ctx context.Context, in inputs, cgroups Cgroups) error {
	if err := m.Host.RemoveLink(in.layout.linkName()); err != nil {
		return err
	}
	if err := m.Host.RemoveCgroups(ctx, cgroups); err != nil {
		return err
	}
	if info, err := os.Stat(in.layout.console()); err == nil && info.Size() > maxConsole {
		if err := os.Rename(in.layout.console(), in.layout.console()+".1"); err != nil {
			return fmt.Errorf("rotate the console's log: %w", err)
		}
	}
	return nil
}

func (m *Machines) launch(in inputs, cgroups Cgroups) (Waiting, error) {
	if in.sharedBundles != "" {
		if err := os.MkdirAll(in.sharedBundles, 0o755); err != nil {
			return nil, fmt.Errorf("make the directory of shared bundles: %w", err)
		}
	}
	if _, err := os.Stat(in.agentBinary); err != nil {
		return nil, unmakeable(fmt.Sprintf("The agent's binary is not there (%v): start the manager with --agent-binary.", err))
	}
	if err := m.Host.MakeCgroups(cgroups); err != nil {
		return nil, err
	}
	if err := saveJSON(in.layout.boot(), renderBoot(in)); err != nil {
		return nil, err
	}
	return m.Host.Launch(Launch{
		Command: []string{in.agentBinary, "init", "--config", in.layout.boot()},
		Console: in.layout.console(),
		Cgroups: cgroups.Join,
	})
}

// Reboot stops the machine. Its next Ensure, which the end of it brings about, starts it on the same disk at once.
func (m *Machines) Reboot(ctx context.Context, key types.NamespacedName) error {
	l := m.layout(key)
	unlock, err := lockMachine(ctx, l)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := loadRecord(l.record())
	if err != nil || r == nil || r.Process == nil {
		return err
	}
	r.Asked = true
	if err := saveJSON(l.record(), r); err != nil {
		return err
	}
	return m.stop(ctx, *r.Process)
}

// stop ends a machine's processes: asked first, then killed. It returns once all are gone.
func (m *Machines) stop(ctx context.Context, p Process) error {
	if alive, err := m.Host.Alive(p); err != nil || !alive {
		return err
	}
	if err := m.Host.Signal(p, syscall.SIGTERM); err != nil {
		return err
	}
	if err := m.await(ctx, p, stopTimeout); err == nil {
		return nil
	}
	return m.kill(ctx, p)
}

func (m *Machines) kill(ctx context.Context, p Process) error {
	if alive, err := m.Host.Alive(p); err != nil || !alive {
		return err
	}
	if err := m.Host.Signal(p, syscall.SIGKILL); err != nil {
		return err
	}
	if err := m.await(ctx, p, killTimeout); err != nil {
		return fmt.Errorf("kill the machine's process %d: %w", p.PID, err)
	}
	return nil
}

var errStillRunning = errors.New("it still runs")

func (m *Machines) await(ctx context.Context, p Process, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	gone, err := m.Host.Watch(ctx, p)
	if err != nil {
		return err
	}
	<-gone
	alive, err := m.Host.Alive(p)
	if err == nil && alive {
		return errStillRunning
	}
	return err
}
