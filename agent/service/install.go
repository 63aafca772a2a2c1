package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/drover-dev/drover/agent/atomicfile"
)

// Install has systemd run this program as the agent, now and after each boot.
func Install(ctx context.Context, out io.Writer) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return errors.New("systemd does not run this machine: have its init run `drover-agent run`, and again whenever it ends")
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the agent's own binary: %w", err)
	}
	if err := atomicfile.Write(UnitPath, []byte(unit(binary)), 0o644); err != nil {
		return err
	}
	if err := start(ctx, filepath.Base(UnitPath)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Installed %s and started it\n", UnitPath)
	return err
}

// start has systemd run a unit that was written, now and after each boot. One that runs already is restarted, or the
// program that was there before would go on; KillMode=process keeps the node's components running meanwhile.
func start(ctx context.Context, unit string) error {
	for _, args := range [][]string{{"daemon-reload"}, {"enable", unit}, {"restart", unit}} {
		if err := systemctl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func systemctl(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
