package kernel

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// modprobePatience bounds the loading of modules, which takes a moment.
const modprobePatience = 30 * time.Second

// LoadModules loads the modules that a node needs into the kernel of a machine of its own, as after each boot, and
// returns those that it loaded, with an error that names those that it could not load. A machine that shares its host's
// kernel leaves that kernel alone, and so does one that may load nothing or has nothing to load with. What is not there
// afterwards is seen in the facts.
func (k *Kernel) LoadModules(ctx context.Context) ([]string, error) {
	missing := k.Host.MissingModules()
	if len(missing) == 0 || !k.Host.MayLoadModules() {
		return nil, nil
	}
	program := k.modprobe()
	if program == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, modprobePatience)
	defer cancel()
	err := k.Run(ctx, program, append([]string{"-a"}, missing...)...) // it fails when one of them fails
	still := k.Host.MissingModules()
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
func (k *Kernel) modprobe() string {
	if program := k.Host.Text("/proc/sys/kernel/modprobe"); program != "" && k.Host.Exists(program) {
		return program
	}
	return k.Host.Tool("modprobe")
}
