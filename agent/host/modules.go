package host

import (
	"path"
	"strings"
)

// MissingModules are the modules that a node needs and the kernel shows no sign of, be it built in or loaded. The kernel
// loads none of them by itself, or nf_conntrack only when a rule needs it, which is too late for kube-proxy's limits.
func (s *System) MissingModules() []string {
	var missing []string
	if !s.hasFilesystem("overlay") {
		missing = append(missing, "overlay")
	}
	for _, module := range []struct{ name, file string }{{"br_netfilter", bridgeNetfilter}, {"nf_conntrack", conntrackMax}} {
		if !s.Exists(module.file) {
			missing = append(missing, module.name)
		}
	}
	return missing
}

// loadable says whether the kernel has a module, be it built in or in a file of its own.
func (s *System) loadable(module string) bool {
	dir := "/lib/modules/" + s.Text("/proc/sys/kernel/osrelease")
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

// MayLoadModules says whether modules may be loaded: by the agent's capabilities, and because the kernel is the machine's
// own. One that shares its host leaves the host's kernel alone.
func (s *System) MayLoadModules() bool {
	var f Facts
	return s.hasCapability(capSysModule) && s.gatherCgroups(&f) == nil && !f.SharesHost
}
