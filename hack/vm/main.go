// Command vm (built as drover-vm) runs stock Debian virtual machines, with systemd, cgroup v2 and sshd, on a bridge of this
// host. Plain emulation does: no KVM is needed. `make vm` and the tests of real machines use it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/vm/image"
	"github.com/drover-dev/drover/hack/vm/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if failed := (commandError{}); errors.As(err, &failed) {
		os.Exit(failed.code)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", err)
		os.Exit(1)
	}
}

// program is the command with its machines.
type program struct {
	layout   layout.Layout
	machines machine.Machines
	user     string
}

func command() *cobra.Command {
	p := &program{}
	var repository string
	root := &cobra.Command{
		Use:           "drover-vm",
		Short:         "Stock Debian virtual machines on a bridge of this host, without KVM",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			l, err := layout.New(repository)
			p.layout, p.machines = l, machine.Of(l)
			return err
		},
	}
	root.PersistentFlags().StringVar(&repository, "repository", ".", "the checkout whose .drover/vm holds everything")
	root.AddCommand(p.buildCommand(), p.upCommand(), p.listCommand(), p.watchCommand(),
		p.asUser(on("ssh NAME [COMMAND...]", "Run a command on a machine, or a shell", 0, p.ssh)),
		p.asUser(on("put NAME FILE PATH", "Copy a file to a machine", 2, p.put)),
		on("monitor NAME COMMAND...", "Give a machine's emulator a command of its monitor's (stop; cont; set_link net off)", 1, p.monitor),
		on("reset NAME", "Start a machine anew, as its reset button would", 0, func(ctx context.Context, name string, _ []string) error {
			return p.monitor(ctx, name, []string{"system_reset"})
		}),
		on("wait NAME", "Wait until one can log in on a machine", 0, p.wait),
		on("down NAME", "End a machine, as a cut of its power would, and remove its disk", 0, func(ctx context.Context, name string, _ []string) error {
			return p.machines.Down(ctx, name)
		}),
	)
	return root
}

// on is a command that a machine's name comes first in, and at least so many more arguments after.
func on(use, short string, more int, run func(ctx context.Context, name string, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.MinimumNArgs(1 + more), RunE: func(cmd *cobra.Command, args []string) error {
		return run(cmd.Context(), args[0], args[1:])
	}}
	cmd.Flags().SetInterspersed(false) // the flags after the name are the command's
	return cmd
}

func (p *program) asUser(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&p.user, "user", "root", "who: "+strings.Join(users(), ", "))
	return cmd
}

func users() []string {
	var names []string
	for _, u := range image.Users() {
		names = append(names, u.Name)
	}
	return names
}

func (p *program) buildCommand() *cobra.Command {
	var mirror string
	cmd := &cobra.Command{Use: "build", Short: "Make the image anew, from Debian's packages", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return p.build(cmd.Context(), mirror)
	}}
	cmd.Flags().StringVar(&mirror, "mirror", "", "Debian's mirror; the one that this host has its own packages from unless named")
	return cmd
}

func (p *program) build(ctx context.Context, mirror string) error {
	there, err := p.machines.Names()
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("the disks of %s are overlays on the image that is there: run `make down` first, which ends them", strings.Join(there, ", "))
	}
	path := p.layout.Logs("vm-image")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("log the build: %w", err)
	}
	log, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("log the build: %w", err)
	}
	defer func() { _ = log.Close() }()
	if err := p.machines.Image().Build(ctx, mirror, log); err != nil {
		return fmt.Errorf("%w (all of it is in %s)", err, path)
	}
	return nil
}

// started is what `up` prints, for programs.
type started struct {
	Name       string       `json:"name"`
	Address    netip.Addr   `json:"address"`
	Port       int          `json:"port"`
	Users      []image.User `json:"users"`
	Password   string       `json:"password"`
	Key        string       `json:"key"`
	HostKey    string       `json:"hostKey"`
	KnownHosts string       `json:"knownHosts"`
	Console    string       `json:"console"`
	Link       string       `json:"link"`
}

func (p *program) upCommand() *cobra.Command {
	spec := machine.Spec{}
	cmd := &cobra.Command{Use: "up NAME ADDRESS", Short: "Start a machine, and print how to log in as JSON", Args: cobra.ExactArgs(2), RunE: func(cmd *cobra.Command, args []string) error {
		var err error
		if spec.Address, err = netip.ParseAddr(args[1]); err != nil {
			return err
		}
		spec.Name = args[0]
		m, err := p.machines.Up(cmd.Context(), spec, func(string) {})
		if err != nil {
			return err
		}
		return p.print(m)
	}}
	cmd.Flags().StringVar(&spec.Bridge, "bridge", layout.Bridge, "the bridge it is attached to, whose address is its gateway")
	cmd.Flags().IntVar(&spec.Memory, "memory", machine.DefaultMemory, "in MiB")
	cmd.Flags().IntVar(&spec.CPUs, "cpus", machine.DefaultCPUs, "how many CPUs")
	return cmd
}

func (p *program) print(m *machine.Machine) error {
	i := p.machines.Image()
	hostKey, err := i.HostKey()
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(started{
		Name: m.Spec.Name, Address: m.Spec.Address, Port: machine.Port, Users: image.Users(), Password: image.Password,
		Key: i.Key(), HostKey: hostKey, KnownHosts: i.KnownHosts(), Console: m.Console(), Link: m.Link(),
	})
}

func (p *program) listCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Say which machines there are", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		names, err := p.machines.Names()
		if err != nil {
			return err
		}
		for _, name := range names {
			m, err := p.machines.Get(name)
			if err != nil {
				return err
			}
			fmt.Println(m)
		}
		return nil
	}}
}

// watchCommand is what a machine is started with; nobody else needs it.
func (p *program) watchCommand() *cobra.Command {
	return &cobra.Command{Use: "watch NAME", Hidden: true, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		m, err := p.machines.Get(args[0])
		if err != nil {
			return err
		}
		return m.Watch(cmd.Context(), os.Stdout)
	}}
}

func (p *program) ssh(ctx context.Context, name string, command []string) error {
	m, err := p.machines.Get(name)
	if err != nil {
		return err
	}
	return inForeground(p.machines.SSH(ctx, m, p.user, command...))
}

func (p *program) put(ctx context.Context, name string, args []string) error {
	m, err := p.machines.Get(name)
	if err != nil {
		return err
	}
	return inForeground(p.machines.Put(ctx, m, p.user, args[0], args[1]))
}

func (p *program) monitor(ctx context.Context, name string, command []string) error {
	m, err := p.machines.Get(name)
	if err != nil {
		return err
	}
	answer, err := m.Monitor(ctx, strings.Join(command, " "))
	if answer != "" {
		fmt.Println(answer)
	}
	return err
}

func (p *program) wait(ctx context.Context, name string, _ []string) error {
	m, err := p.machines.Get(name)
	if err != nil {
		return err
	}
	return p.machines.Wait(ctx, m, func(string) {})
}

// commandError is that a command on a machine failed, and has said why itself.
type commandError struct{ code int }

func (e commandError) Error() string { return fmt.Sprintf("the command ended with %d", e.code) }

func inForeground(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && failed.Exited() {
		return commandError{failed.ExitCode()}
	}
	return err
}
