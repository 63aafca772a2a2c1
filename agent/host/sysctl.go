package host

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const sysctlDir = "/proc/sys/"

// nodeSysctls are what a node needs set. Those the kubelet sets itself (vm.overcommit_memory, kernel.panic and so
// on) are left to it.
func (s *System) nodeSysctls() map[string]string {
	wanted := map[string]string{"net.ipv4.ip_forward": "1"}
	for _, name := range []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv6.conf.all.forwarding"} {
		if s.exists(sysctlPath(name)) {
			wanted[name] = "1"
		}
	}
	return wanted
}

// ApplySysctls sets what a node needs and what the pool's template asks for, the template winning. A parameter that
// has its value already is not written. What could not be set is returned as findings.
func (s *System) ApplySysctls(user map[string]v1alpha1.SysctlValue) []v1alpha1.Finding {
	wanted := s.nodeSysctls()
	for name, value := range user {
		wanted[name] = string(value)
	}
	var failed []string
	fatal := false
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := s.setSysctl(name, wanted[name]); err != nil {
			failed = append(failed, name+"="+wanted[name]+" ("+err.Error()+")")
			fatal = fatal || name == "net.ipv4.ip_forward"
		}
	}
	if len(failed) == 0 {
		return nil
	}
	const format = "could not set %s: set it on the host, or drop it from the pool's sysctls"
	if fatal {
		return []v1alpha1.Finding{fail(FindingSysctl, format, strings.Join(failed, ", "))}
	}
	return []v1alpha1.Finding{warn(FindingSysctl, format, strings.Join(failed, ", "))}
}

func (s *System) setSysctl(name, value string) error {
	file := sysctlPath(name)
	if strings.Join(strings.Fields(s.text(file)), " ") == strings.Join(strings.Fields(value), " ") {
		return nil
	}
	f, err := os.OpenFile(s.path(file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return cause(err)
	}
	_, err = f.WriteString(value)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return cause(err)
}

// cause takes the path off, which the sysctl's name stands for already.
func cause(err error) error {
	if pathErr, ok := err.(*os.PathError); ok {
		return pathErr.Err
	}
	return err
}

// sysctlPath is the file of a dotted name. A slash in a name stands for a dot in the file's, as in sysctl(8).
func sysctlPath(name string) string {
	return sysctlDir + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
