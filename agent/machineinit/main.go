package machineinit

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
)

// The pipes init inherits, and what goes through them. The provider has the same numbers.
const (
	// gateFD says GateByte when the machine may start. Its end without a word means that the provider is gone.
	gateFD = 3
	// answerFD takes Started, or a sentence about what went wrong.
	answerFD = 4

	// GateByte is the provider's word to go on.
	GateByte = 'g'
	// Started is init's answer when the machine stands and the agent is about to start.
	Started = "started\n"
)

// Main is `drover-agent init`: it runs until the machine stops and returns the exit code. args are the command line
// after "init".
func Main(args []string) int {
	flags := flag.NewFlagSet("drover-agent init", flag.ContinueOnError)
	path := flags.String("config", "", "the boot plan that the local provider wrote")
	entered := flags.Bool("entered", false, "set by init itself once it is in its cgroup namespace")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	boot, err := readBoot(*path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "drover-agent init is the first process of a local machine, which the manager starts; run it nowhere else")
		return 2
	}
	if err := start(boot, *path, *entered); err != nil {
		if errors.Is(err, errProviderGone) {
			return 0
		}
		fmt.Fprintln(os.Stderr, err)
		_, _ = unix.Write(answerFD, []byte(err.Error()))
		return 1
	}
	return newKeeper(boot, node.InitSocketPath).run()
}

var errProviderGone = errors.New("the provider ended before it gave the word to start")

// start takes the machine from the provider's word to an answer that it stands.
func start(boot *node.LocalBoot, path string, entered bool) error {
	if !entered {
		if err := waitForWord(); err != nil {
			return err
		}
		if boot.Cgroup.Namespace != "" {
			return enterCgroupNamespace(boot.Cgroup, path)
		}
	}
	for _, fd := range []int{gateFD, answerFD} {
		unix.CloseOnExec(fd)
	}
	if err := carryOut(boot); err != nil {
		return err
	}
	// The provider may have ended since; the machine stands all the same.
	_, _ = unix.Write(answerFD, []byte(Started))
	_ = unix.Close(answerFD)
	_ = unix.Close(gateFD)
	shed()
	return nil
}

func readBoot(path string) (*node.LocalBoot, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the boot plan: %w", err)
	}
	boot := &node.LocalBoot{}
	if err := json.Unmarshal(data, boot); err != nil {
		return nil, fmt.Errorf("read the boot plan %s: %w", path, err)
	}
	return boot, nil
}

func waitForWord() error {
	word := make([]byte, 1)
	for {
		n, err := unix.Read(gateFD, word)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("wait for the provider's word: %w", err)
		case n == 1 && word[0] == GateByte:
			return nil
		default:
			return errProviderGone
		}
	}
}

// enterCgroupNamespace makes the machine's cgroup the root of a namespace and replaces this process by itself: a
// namespace is a thread's, and only an exec brings all threads into it. It returns only on failure.
func enterCgroupNamespace(cgroup node.LocalBootCgroup, path string) error {
	runtime.LockOSThread()
	join := func(dir string) error {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte("0"), 0); err != nil {
			return fmt.Errorf("join the cgroup %s: %w", dir, err)
		}
		return nil
	}
	if err := join(cgroup.Namespace); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a cgroup namespace: %w", err)
	}
	if err := join(cgroup.System); err != nil {
		return err
	}
	err := unix.Exec("/proc/self/exe", []string{os.Args[0], "init", "--config", path, "--entered"}, os.Environ())
	return fmt.Errorf("start init again in its cgroup namespace: %w", err)
}
