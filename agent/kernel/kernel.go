// Package kernel sets in the machine's kernel what a node needs before its first component starts: modules, parameters
// and the cgroup that pods go under. What it writes it decides by what agent/host reads; that package writes nothing.
//
// LoadModules comes first, for a module brings parameters of its own, and PrepareCgroups last, when the facts are known.
package kernel

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"github.com/drover-dev/drover/agent/host"
)

// Kernel is a machine's.
type Kernel struct {
	// Host is the machine, and where its files are.
	Host *host.System
	// RunDir is the agent's, where it takes down what the parameters were before it set them. Default: nowhere.
	RunDir string
	// Run runs a program of the machine to its end.
	Run func(ctx context.Context, program string, args ...string) error

	mu    sync.Mutex
	owned map[string]Owned // nil until it was read
	unset []failure        // what could not be set last
}

// Of is a machine's kernel itself.
func Of(system *host.System, runDir string) *Kernel {
	return &Kernel{Host: system, RunDir: runDir, Run: run}
}

func run(ctx context.Context, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
