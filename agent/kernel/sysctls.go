package kernel

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const sysctlDir = "/proc/sys/"

// nodeSysctls are what a node needs set. Those the kubelet sets itself (vm.overcommit_memory, kernel.panic and so
// on) are left to it.
func (k *Kernel) nodeSysctls() map[string]string {
	wanted := map[string]string{"net.ipv4.ip_forward": "1"}
	for _, name := range []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv6.conf.all.forwarding"} {
		if k.Host.Exists(sysctlPath(name)) {
			wanted[name] = "1"
		}
	}
	return wanted
}

// leastSysctls are what a machine of its own is raised to: stock kernels allow 128 instances.
var leastSysctls = map[string]int64{
	"fs.inotify.max_user_instances": 8192,
	"fs.inotify.max_user_watches":   524288,
}

// ApplySysctls sets what a node needs and what the pool's template asks for, the template winning. A parameter that
// has its value already is not written. What could not be set is returned as findings; so is, with sharedKernel, what
// is not the machine's own: whoever may write a pool must not thereby set kernel.core_pattern on the host.
func (k *Kernel) ApplySysctls(user map[string]v1alpha1.SysctlValue, sharedKernel bool) []v1alpha1.Finding {
	wanted := k.nodeSysctls()
	for name, least := range leastSysctls {
		if have := k.Host.Integer(sysctlPath(name)); !sharedKernel && have > 0 && have < least {
			wanted[name] = strconv.FormatInt(least, 10)
		}
	}
	var failed []string
	for _, name := range slices.Sorted(maps.Keys(user)) {
		if sharedKernel && !namespaced(name) {
			failed = append(failed, name+"="+string(user[name])+" (it is the kernel's, which this machine shares with its host)")
			continue
		}
		wanted[name] = string(user[name])
	}
	fatal := false
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := k.setSysctl(name, wanted[name]); err != nil {
			failed = append(failed, name+"="+wanted[name]+" ("+err.Error()+")")
			fatal = fatal || name == "net.ipv4.ip_forward"
		}
	}
	if len(failed) == 0 {
		return nil
	}
	const format = "could not set %s: set it on the host, or drop it from the pool's sysctls"
	if fatal {
		return []v1alpha1.Finding{finding.Error(finding.Sysctl, format, finding.List(failed))}
	}
	return []v1alpha1.Finding{finding.Warning(finding.Sysctl, format, finding.List(failed))}
}

func (k *Kernel) setSysctl(name, value string) error {
	file := sysctlPath(name)
	if strings.Join(strings.Fields(k.Host.Text(file)), " ") == strings.Join(strings.Fields(value), " ") {
		return nil
	}
	f, err := os.OpenFile(k.Host.Path(file), os.O_WRONLY|os.O_TRUNC, 0)
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
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// namespacedSysctls are the parameters that each network or IPC namespace has for itself, those that end in a slash or
// a star with everything below or after it. See the kubelet's pkg/kubelet/sysctl.
var namespacedSysctls = []string{"net/", "fs/mqueue/", "kernel/sem", "kernel/shm*", "kernel/msg*"}

// namespaced says whether a machine made of namespaces has the parameter for itself.
func namespaced(name string) bool {
	file := strings.TrimPrefix(sysctlPath(name), sysctlDir)
	return slices.ContainsFunc(namespacedSysctls, func(known string) bool {
		prefix, many := strings.CutSuffix(known, "*")
		return file == known || (many || strings.HasSuffix(known, "/")) && strings.HasPrefix(file, prefix)
	})
}

// sysctlPath is the file of a dotted name. A slash in a name stands for a dot in the file's, as in sysctl(8).
func sysctlPath(name string) string {
	return sysctlDir + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
