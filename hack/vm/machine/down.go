package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/drover-dev/drover/hack/dev/hostnet"
	"github.com/drover-dev/drover/hack/dev/process"
)

// stopGrace is how long the emulator may take to end.
const stopGrace = 10 * time.Second

// Down ends the machine, as a cut of its power would, and removes its link and its disk. It need not be there.
func (ms Machines) Down(ctx context.Context, name string) error {
	m, err := ms.named(name)
	if err != nil {
		return err
	}
	unlock, err := ms.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, id := range m.processes() {
		err = errors.Join(err, process.Stop(ctx, id, stopGrace))
	}
	if err != nil {
		return fmt.Errorf("end machine %s: %w", name, err)
	}
	if err := hostnet.RemoveLink(m.Link()); err != nil {
		return fmt.Errorf("end machine %s: %w", name, err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("end machine %s: %w", name, err)
	}
	_ = os.Remove(filepath.Dir(m.dir)) // unless it holds others
	return nil
}

// lock keeps others from starting and ending machines at the same time.
func (ms Machines) lock() (unlock func(), err error) {
	err = os.MkdirAll(ms.layout.VM(), 0o755)
	if err != nil {
		return nil, fmt.Errorf("lock the machines: %w", err)
	}
	file, err := os.OpenFile(ms.layout.VM("lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the machines: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock the machines: %w", err)
	}
	return func() { _ = file.Close() }, nil
}
