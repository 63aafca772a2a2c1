package host

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
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

// loadable says whether the kernel has a module, be it built in or in a file of its own.
func (s *System) loadable(module string) bool {
	dir := "/lib/modules/" + s.text("/proc/sys/kernel/osrelease")
	for _, list := range []string{"/modules.builtin", "/modules.dep"} {
		for _, line := range s.lines(dir + list) {
			file, _, _ := strings.Cut(line, ":")
			if name, _, _ := strings.Cut(path.Base(file), ".ko"); strings.ReplaceAll(name, "-", "_") == module {
				return true
			}
		}
	}
	return false
}

// LoadModules loads the modules that a node needs into the kernel of a machine of its own, as after each boot, and
// returns those that it loaded, with an error that names those that it could not load. A machine that shares its host's
// kernel leaves that kernel alone, and so does one that may load nothing or has nothing to load with. What is not there
// afterwards is seen in the facts.
func (s *System) LoadModules(ctx context.Context) ([]string, error) {
	missing := s.missingModules()
	if len(missing) == 0 || !s.hasCapability(capSysModule) {
		return nil, nil
	}
	var f Facts
	if err := s.gatherCgroups(&f); err != nil || f.SharesHost {
		return nil, nil
	}
	program := s.modprobe()
	if program == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, modprobePatience)
	defer cancel()
	err := s.Run(ctx, program, append([]string{"-a"}, missing...)...) // it fails when one of them fails
	still := s.missingModules()
	if err == nil || len(still) == 0 {
		return others(missing, still), nil
	}
	return others(missing, still), fmt.Errorf("load %s with %s: %w", strings.Join(still, ", "), program, err)
}

// others are those of all that are not among some.
func others(all, some []string) []string {
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(some, name) })
}

// modprobe is the program that the kernel itself would run, empty where there is none.
func (s *System) modprobe() string {
	if program := s.text("/proc/sys/kernel/modprobe"); program != "" && s.exists(program) {
		return program
	}
	return s.tool("modprobe")
}

func run(ctx context.Context, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
