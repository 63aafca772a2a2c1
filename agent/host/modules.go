package host

import (
	"context"
	"os/exec"
	"slices"
	"time"
)

// modprobePatience bounds the loading of modules, which takes a moment.
const modprobePatience = 30 * time.Second

// missingModules are the modules that a node needs and the kernel shows no sign of, be it built in or loaded. The kernel
// loads none of them by itself, or nf_conntrack only when a rule needs it, which is too late for kube-proxy's limits.
func (s *System) missingModules() []string {
	var missing []string
	if !s.hasFilesystem("overlay") {
		missing = append(missing, "overlay")
	}
	for _, module := range []struct{ name, file string }{{"br_netfilter", bridgeNetfilter}, {"nf_conntrack", conntrackMax}} {
		if !s.exists(module.file) {
			missing = append(missing, module.name)
		}
	}
	return missing
}

// LoadModules loads the modules that a node needs into the kernel of a machine of its own, as after each boot, and
// returns those that it loaded. A machine that shares its host's kernel leaves that kernel alone. What cannot be loaded
// is seen in the facts.
func (s *System) LoadModules(ctx context.Context) []string {
	var f Facts
	if err := s.gatherCgroups(&f); err != nil || f.SharesHost {
		return nil
	}
	missing := s.missingModules()
	program := s.modprobe()
	if len(missing) == 0 || program == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, modprobePatience)
	defer cancel()
	_ = s.Run(ctx, program, append([]string{"-a"}, missing...)...) // it fails when one of them fails
	still := s.missingModules()
	return slices.DeleteFunc(missing, func(name string) bool { return slices.Contains(still, name) })
}

// modprobe is the program that the kernel itself would run, empty where there is none.
func (s *System) modprobe() string {
	if program := s.text("/proc/sys/kernel/modprobe"); program != "" && s.exists(program) {
		return program
	}
	return s.tool("modprobe")
}

func run(ctx context.Context, program string, args ...string) error {
	return exec.CommandContext(ctx, program, args...).Run()
}
