package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// Options say what to install.
type Options struct {
	// Root goes before every path. Default: none, for the machine itself.
	Root string
	// Binary is the agent's program, of which a copy is installed.
	Binary string
	// SHA256 is Binary's, in hexadecimal, if that file is there to be installed and is only ever replaced: then it is linked
	// to. Default: the file is copied, and its digest computed, which takes some machines a second or two.
	SHA256 string
	// Bootstrap is the bootstrap document, of which a copy is installed. Default: the one that is on the machine.
	Bootstrap string
	// Out gets a line for what was done.
	Out io.Writer
}

func (o *Options) path(name string) string { return filepath.Join(o.Root, name) }

// booted says whether systemd runs the machine below root, which Install needs.
func booted(root string) bool {
	_, err := os.Stat(filepath.Join(root, "/run/systemd/system"))
	return err == nil
}

// Installed says whether an agent was installed here before.
func (o *Options) Installed() bool {
	_, err := os.Stat(o.path(UnitPath))
	return err == nil
}

// Install has systemd run a copy of the agent, now and after each boot. What runs already is replaced.
func Install(ctx context.Context, o Options) error {
	if !booted(o.Root) {
		return errors.New("systemd does not run this machine: have its init run `drover-agent run`, and again whenever it ends")
	}
	before := baseline.Recorder{Root: o.Root, StateDir: o.path(node.StateDir), RunDir: o.path(node.RunDir)}
	if err := before.Record(); err != nil {
		return err
	}
	if err := o.installBootstrap(); err != nil {
		return err
	}
	// In any order: a networkd that starts leaves the routes alone that it finds. Neither fails for the other.
	var group errgroup.Group
	group.Go(func() error { return o.installNetworkd(ctx) })
	group.Go(func() error { return o.installAgent(ctx) })
	return group.Wait()
}

func (o *Options) installAgent(ctx context.Context) error {
	binary, err := o.installBinary()
	if err == nil {
		err = selfupdate.Install(o.path(node.AgentDir), filepath.Base(filepath.Dir(binary)))
	}
	if err != nil {
		return err
	}
	fresh := true
	for path, text := range Units() {
		if _, err := os.Lstat(o.path(path)); !errors.Is(err, os.ErrNotExist) {
			fresh = false
		}
		if err := atomicfile.Write(o.path(path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := start(ctx, fresh); err != nil {
		return err
	}
	o.removeOthers(binary)
	_, err = fmt.Fprintf(o.Out, "Installed %s and started it\n", binary)
	return err
}

// installBootstrap puts the bootstrap document where the agent reads it.
func (o *Options) installBootstrap() error {
	to := o.path(node.BootstrapPath)
	if o.Bootstrap == "" {
		if _, err := os.Stat(to); err != nil {
			return fmt.Errorf("there is no bootstrap document: give one with --bootstrap: %w", err)
		}
		return nil
	}
	data, err := os.ReadFile(o.Bootstrap)
	if err != nil {
		return fmt.Errorf("read the bootstrap document: %w", err)
	}
	return atomicfile.Write(to, data, 0o600)
}

// installBinary installs the program in a directory named by its digest, and returns its path. It runs from there whatever
// happens to the file that it was copied from, and the one before it stays until the new one was started. Who knows the
// digest put the program there for this, and only ever replaces it: then the file gets another name instead of a copy.
func (o *Options) installBinary() (string, error) {
	if o.SHA256 == "" {
		return o.copyBinary()
	}
	if bytes, err := hex.DecodeString(o.SHA256); err != nil || len(bytes) != sha256.Size {
		return "", fmt.Errorf("%q is not a SHA-256 in hexadecimal", o.SHA256)
	}
	path := binaryPath(strings.ToLower(o.SHA256))
	if err := atomicfile.Link(o.Binary, o.path(path)); err != nil {
		return o.copyBinary() // it is on another file system, say
	}
	return path, nil
}

func (o *Options) copyBinary() (string, error) {
	data, err := os.ReadFile(o.Binary)
	if err != nil {
		return "", fmt.Errorf("read the agent's own program: %w", err)
	}
	sum := sha256.Sum256(data)
	path := binaryPath(hex.EncodeToString(sum[:]))
	if err := atomicfile.Write(o.path(path), data, 0o755); err != nil {
		return "", fmt.Errorf("install the agent's program: %w", err)
	}
	return path, nil
}

// binaryPath is where the program of a digest is installed.
func binaryPath(digest string) string {
	return filepath.Join(node.AgentDir, digest[:16], selfupdate.ProgramName)
}

// removeOthers removes the agents that were installed, or had installed themselves, before. One that stays is no harm.
func (o *Options) removeOthers(binary string) {
	entries, _ := os.ReadDir(o.path(node.AgentDir))
	for _, entry := range entries {
		if name := entry.Name(); entry.IsDir() && !strings.HasPrefix(name, ".") && name != filepath.Base(filepath.Dir(binary)) {
			_ = os.RemoveAll(o.path(filepath.Join(node.AgentDir, name)))
		}
	}
}

// installNetworkd tells networkd to leave the node's routes alone. It reads that when it starts, keeping what it has. That it
// is yet to be started anew is noted for an install that takes over from one that was cut short.
func (o *Options) installNetworkd(ctx context.Context) error {
	path, untold := o.path(NetworkdPath), o.path(filepath.Join(node.RunDir, "networkd-untold"))
	if conf := []byte(networkdConf); !atomicfile.Holds(path, conf, 0o644) {
		if err := errors.Join(atomicfile.Write(untold, nil, 0o600), atomicfile.Write(path, conf, 0o644)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(untold); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := systemctl(ctx, "try-restart", "systemd-networkd.service"); err != nil {
		return err
	}
	return os.Remove(untold)
}

// start has systemd run the units that were written, now and after each boot. An agent that runs already is restarted, or
// the program that was there before would go on; the node's components run on meanwhile. The agent's unit has the other one
// started. Only where there was one before, which is not fresh, may systemd have to read all of its units again,
// and then is asked; that takes a second or two on a slow machine.
func start(ctx context.Context, fresh bool) error {
	slice, agent, components := filepath.Base(SlicePath), filepath.Base(UnitPath), filepath.Base(NodeUnitPath)
	if !fresh {
		outdated, err := systemctlOutput(ctx, "show", "--property=NeedDaemonReload", "--value", slice, components, agent)
		if err == nil && strings.Contains(outdated, "yes") {
			err = systemctl(ctx, "daemon-reload")
		}
		if err != nil {
			return err
		}
	}
	if err := systemctl(ctx, "enable", "--no-reload", components, agent); err != nil {
		return err
	}
	return systemctl(ctx, "restart", agent)
}

func systemctl(ctx context.Context, args ...string) error {
	_, err := systemctlOutput(ctx, args...)
	return err
}

func systemctlOutput(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
