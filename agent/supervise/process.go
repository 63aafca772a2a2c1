package supervise

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultStopTimeout is how long a process gets to end after SIGTERM when its Process does not say.
const DefaultStopTimeout = 10 * time.Second

// DefaultReadyTimeout is how long a process's Ready may take to answer when its Process does not say.
const DefaultReadyTimeout = 2 * time.Second

// Process is a process that is wanted.
type Process struct {
	// Name names the process, its record and its status; unique within an Apply.
	Name string
	// Version is the version that the status shows.
	Version string
	// Path is the executable, absolute. It becomes argv[0].
	Path string
	// Args are the arguments after argv[0].
	Args []string
	// Env is the whole environment, as "KEY=value".
	Env []string
	// Dir is the working directory. Default: /.
	Dir string
	// LogFile takes stdout and stderr. It is appended to, and rotated by the supervisor.
	LogFile string
	// DependsOn names the processes that must be ready before this one is started. They are not looked at again:
	// a process stays when one it depends on restarts.
	DependsOn []string
	// After names processes that are better ready before this one is started, as it takes the processor's time from
	// them. Those that are not after afterPatience are waited for no longer, and those not given not at all.
	After []string
	// ConfigDigest stands for the files the process reads at its start: another digest is another process.
	ConfigDigest string
	// Prepare, when it is set, is called before each start, when no earlier process of the name runs any more. One that fails is
	// logged: the process says itself what it lacks.
	Prepare func() error
	// Ready says whether the process does its work; nil means as soon as it runs. It is asked every few
	// milliseconds after a start until it returns nil once.
	Ready func(context.Context) error
	// ReadyTimeout is how long one answer of Ready may take. Default: DefaultReadyTimeout.
	ReadyTimeout time.Duration
	// StopTimeout is the time between SIGTERM and SIGKILL. Default: DefaultStopTimeout.
	StopTimeout time.Duration
	// OOMScoreAdj is written to the process's oom_score_adj as far as the kernel lets us; nil leaves it alone.
	OOMScoreAdj *int
	// Cgroup is the directory of the cgroup, of version 2, that the process is started in; it is made if it is not there.
	// One that was started elsewhere stays there until its next start. Default: ours.
	Cgroup string
}

// Digest names everything about a process that takes a restart to change. Another agent's must be the same for the same
// process, or an upgrade of the agent would restart it: the nil was a field that no process had.
func (p *Process) Digest() string {
	data, err := json.Marshal([]any{p.Path, p.Args, p.Env, p.Dir, p.LogFile, p.ConfigDigest, nil, p.OOMScoreAdj})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// executable is the file that the path leads to now, which /proc says is run; a link in it may be another one later.
func (p *Process) executable() string {
	if resolved, err := filepath.EvalSymlinks(p.Path); err == nil {
		return resolved
	}
	return p.Path
}

func (p *Process) argv() []string {
	return append([]string{p.Path}, p.Args...)
}

func (p *Process) stopTimeout() time.Duration {
	if p.StopTimeout > 0 {
		return p.StopTimeout
	}
	return DefaultStopTimeout
}

func (p *Process) readyTimeout() time.Duration {
	if p.ReadyTimeout > 0 {
		return p.ReadyTimeout
	}
	return DefaultReadyTimeout
}

// validate checks what Apply is given: usable names, and dependencies that exist and form no circle.
func validate(processes []Process) error {
	depends := make(map[string][]string, len(processes))
	for _, p := range processes {
		if p.Name == "" || strings.ContainsAny(p.Name, "/\x00") || strings.HasPrefix(p.Name, ".") {
			return fmt.Errorf("process name %q cannot be a file name", p.Name)
		}
		if _, twice := depends[p.Name]; twice {
			return fmt.Errorf("process %s is given twice", p.Name)
		}
		if !strings.HasPrefix(p.Path, "/") {
			return fmt.Errorf("process %s: path %q is not absolute", p.Name, p.Path)
		}
		depends[p.Name] = p.DependsOn
	}
	for name, on := range depends {
		for _, other := range on {
			if _, known := depends[other]; !known {
				return fmt.Errorf("process %s depends on %s, which is not given", name, other)
			}
		}
	}
	_, err := layers(depends)
	return err
}

// layers orders names so that each comes in a later layer than all it depends on. Dependencies that are not keys of
// the map are taken as met.
func layers(depends map[string][]string) ([][]string, error) {
	left := make(map[string][]string, len(depends))
	for name, on := range depends {
		left[name] = slices.DeleteFunc(slices.Clone(on), func(other string) bool {
			_, known := depends[other]
			return !known
		})
	}
	var result [][]string
	for len(left) > 0 {
		var layer []string
		for name, on := range left {
			if !slices.ContainsFunc(on, func(other string) bool { _, waits := left[other]; return waits }) {
				layer = append(layer, name)
			}
		}
		if len(layer) == 0 {
			return nil, errors.New("processes depend on each other in a circle")
		}
		slices.Sort(layer)
		for _, name := range layer {
			delete(left, name)
		}
		result = append(result, layer)
	}
	return result, nil
}
