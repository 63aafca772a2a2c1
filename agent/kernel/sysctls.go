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

// parameter is one that is wanted.
type parameter struct {
	name, value string
	least       bool
}

// failure is a parameter that could not be set, and what is told of that.
type failure struct {
	key  string
	of   parameter
	text string
}

func (f failure) fatal() bool { return f.of.name == "net.ipv4.ip_forward" }

// wantedSysctls are what a node needs and what the pool's template asks for, the template winning, by their paths below
// /proc/sys; and what is refused of the template. What was raised once stays the agent's, however large it is by now.
func (k *Kernel) wantedSysctls(user map[string]v1alpha1.SysctlValue, sharedKernel bool, owned map[string]Owned) (wanted map[string]parameter, refused []string) {
	wanted = map[string]parameter{}
	want := func(name, value string, least bool) {
		wanted[strings.TrimPrefix(sysctlPath(name), sysctlDir)] = parameter{name, value, least}
	}
	for name, value := range k.nodeSysctls() {
		want(name, value, false)
	}
	for name, least := range leastSysctls {
		have, raised := k.Host.Integer(sysctlPath(name)), owned[strings.TrimPrefix(sysctlPath(name), sysctlDir)].Least
		if !sharedKernel && have > 0 && (have < least || raised) {
			want(name, strconv.FormatInt(least, 10), true)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(user)) {
		if sharedKernel && !namespaced(name) {
			refused = append(refused, name+"="+string(user[name])+" (it is the kernel's, which this machine shares with its host)")
			continue
		}
		want(name, string(user[name]), false)
	}
	return wanted, refused
}

// ApplySysctls sets what a node needs and what the pool's template asks for, the template winning, and gives back what the agent
// set before and is not wanted any more. A parameter that has its value already is not written. What could not be set is
// returned as findings; so is, with sharedKernel, what is not the machine's own: whoever may write a pool must not thereby set
// kernel.core_pattern on the host.
func (k *Kernel) ApplySysctls(user map[string]v1alpha1.SysctlValue, sharedKernel bool) []v1alpha1.Finding {
	k.mu.Lock()
	defer k.mu.Unlock()
	owned := k.ownedLocked()
	wanted, failed := k.wantedSysctls(user, sharedKernel, owned)
	failed = append(failed, k.giveBack(owned, wanted)...)
	fresh := k.own(owned, wanted)
	err := k.takeDownLocked(owned)
	fatal := false
	k.unset = nil
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		p, refusal := wanted[key], err // what was not taken down is not changed
		if refusal == nil {
			refusal = k.setOwned(key, p, owned)
		}
		if refusal != nil {
			f := failure{key: key, of: p, text: p.name + "=" + p.value + " (" + refusal.Error() + ")"}
			k.unset = append(k.unset, f)
			failed, fatal = append(failed, f.text), fatal || f.fatal()
			if slices.Contains(fresh, key) {
				delete(owned, key)
			}
		}
	}
	if err == nil {
		_ = k.takeDownLocked(owned) // which the next call does again
	}
	return sysctlFindings(failed, fatal)
}

// RefusedSysctls are the findings of what a template asks for and a machine that shares its host's kernel does not get, and of what
// could not be set last and is not so yet. It changes nothing.
func (k *Kernel) RefusedSysctls(user map[string]v1alpha1.SysctlValue, sharedKernel bool) []v1alpha1.Finding {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, refused := k.wantedSysctls(user, sharedKernel, nil)
	fatal := false
	for _, f := range k.unset {
		if !sameValue(k.Host.Text(sysctlDir+f.key), f.of.value) {
			refused, fatal = append(refused, f.text), fatal || f.fatal()
		}
	}
	return sysctlFindings(refused, fatal)
}

func sysctlFindings(failed []string, fatal bool) []v1alpha1.Finding {
	if len(failed) == 0 {
		return nil
	}
	const format = "could not set %s: set it on the host, or drop it from the pool's sysctls"
	if fatal {
		return []v1alpha1.Finding{finding.Error(finding.Sysctl, format, finding.List(failed))}
	}
	return []v1alpha1.Finding{finding.Warning(finding.Sysctl, format, finding.List(failed))}
}

// own adds what is wanted to what the agent sets, with what each is now unless that was taken down before, and returns what
// is new. What cannot be read cannot be given back either.
func (k *Kernel) own(owned map[string]Owned, wanted map[string]parameter) (fresh []string) {
	for key, p := range wanted {
		o, known := owned[key]
		if !known {
			if o.Before = k.Host.Text(sysctlDir + key); o.Before == "" {
				continue
			}
			fresh = append(fresh, key)
		}
		o.Asked, o.Least = p.value, p.least
		owned[key] = o
	}
	return fresh
}

// setOwned sets a parameter and takes down what the kernel made of that, which it may read otherwise than it was written.
func (k *Kernel) setOwned(key string, p parameter, owned map[string]Owned) error {
	o, known := owned[key]
	have := k.Host.Text(sysctlDir + key)
	if p.least && o.Set != "" && o.holds(have) {
		return nil
	}
	if !sameValue(have, p.value) {
		if err := k.writeSysctl(key, p.value); err != nil {
			return err
		}
		have = k.Host.Text(sysctlDir + key)
	}
	if known {
		o.Set = have
		owned[key] = o
	}
	return nil
}

// giveBack sets what nobody wants any more to what it was, unless somebody else has set it since, and forgets it. It returns
// what it could not.
func (k *Kernel) giveBack(owned map[string]Owned, wanted map[string]parameter) (failed []string) {
	for _, key := range slices.Sorted(maps.Keys(owned)) {
		if _, still := wanted[key]; still {
			continue
		}
		o := owned[key]
		if have := k.Host.Text(sysctlDir + key); o.IsOurs(have) && !sameValue(have, o.Before) {
			if err := k.writeSysctl(key, o.Before); err != nil {
				failed = append(failed, dottedName(key)+" back to "+o.Before+" ("+err.Error()+")")
				continue
			}
		}
		delete(owned, key)
	}
	return failed
}

func (k *Kernel) writeSysctl(key, value string) error {
	f, err := os.OpenFile(k.Host.Path(sysctlDir+key), os.O_WRONLY|os.O_TRUNC, 0)
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

// sysctlPath is the file of a name. As with sysctl(8) the separator that comes first separates, and in a dotted name a slash
// stands for a dot in the file's.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		return sysctlDir + name
	}
	return sysctlDir + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
