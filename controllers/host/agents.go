package host

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
)

// agentFile is the agent that is put onto servers of one architecture.
type agentFile struct {
	path, digest string
	size         int64
	// packed is the program as it goes over the line. It is made when the first server asks for it, and kept for all.
	packed func() ([]byte, error)
}

// agentFiles are the agents that there are, by architecture, in Go's names.
type agentFiles map[string]agentFile

// unames are Go's names for what uname -m calls architectures.
var unames = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}

// machines are Go's names for what the head of a program calls them.
var machines = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm", elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64"}

// Architectures are those of which servers may be, in Go's names.
func Architectures() []string { return slices.Sorted(maps.Values(unames)) }

// readAgents looks at the agents' programs once: they are the manager's release's. One that is for another architecture
// than it was given for would fail on every server, and is refused.
func readAgents(paths map[string]string) (agentFiles, error) {
	agents := agentFiles{}
	for architecture, path := range paths {
		built, err := builtFor(path)
		if err != nil {
			return nil, err
		}
		if built != architecture {
			return nil, fmt.Errorf("the agent's program %s is built for linux/%s and was given for linux/%s: name it with --agent-binary linux/%[2]s=%[1]s", path, built, architecture)
		}
		if agents[architecture], err = readAgent(path); err != nil {
			return nil, err
		}
	}
	return agents, nil
}

// builtFor is the architecture that a program is built for.
func builtFor(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the agent's program: %w", err)
	}
	defer func() { _ = file.Close() }()
	program, err := elf.NewFile(file)
	if err != nil {
		return "", fmt.Errorf("the agent's program %s is no program of Linux: %w", path, err)
	}
	if name, known := machines[program.Machine]; known {
		return name, nil
	}
	return "", fmt.Errorf("the agent's program %s is built for %s, which Drover does not know", path, program.Machine)
}

func readAgent(path string) (agentFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return agentFile{}, fmt.Errorf("read the agent's program: %w", err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return agentFile{}, fmt.Errorf("read the agent's program: %w", err)
	}
	packed := sync.OnceValues(func() ([]byte, error) { return pack(path) })
	return agentFile{path: path, digest: hex.EncodeToString(sum.Sum(nil)), size: size, packed: packed}, nil
}

// pack is a file as gzip makes it, which every server can read.
func pack(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the agent's program: %w", err)
	}
	defer func() { _ = file.Close() }()
	packed := &bytes.Buffer{}
	w := gzip.NewWriter(packed)
	if _, err = io.Copy(w, file); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("pack the agent's program: %w", err)
	}
	return packed.Bytes(), nil
}

// of is the agent for a server, by what uname says there.
func (a agentFiles) of(uname string) (agentFile, error) {
	architecture, known := unames[uname]
	if agent, there := a[architecture]; known && there {
		return agent, nil
	}
	there := strings.Join(slices.Sorted(maps.Keys(a)), ", ")
	message := fmt.Sprintf("The server's architecture is %s, which Drover does not know; the manager has agents for %s.", uname, there)
	if known {
		message = fmt.Sprintf("The server's architecture is %s, and the manager has agents for %s: start it with --agent-binary linux/%[1]s=FILE, an agent built for that.", architecture, there)
	}
	return agentFile{}, &infra.Problem{Reason: v1alpha1.ReasonUnsupportedArchitecture, Message: message}
}
