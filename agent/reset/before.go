package reset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/api/node"
)

// logindConf is where the kubelet asks logind for time at a shutdown.
const logindConf = "/etc/systemd/logind.conf.d/99-kubelet.conf"

// restore gives back what was before the agent came. It sets the kernel's parameters before it claims anything, and a
// release may come in between.
func (r *resetter) restore(ctx context.Context) error {
	err := r.restoreSysctls()
	if !r.isOurs(r.Paths.KubeletDir) {
		return err
	}
	return errors.Join(err, r.removeTrees(ctx), r.removeEmptyTables())
}

// removeTrees removes what the components made elsewhere.
func (r *resetter) removeTrees(ctx context.Context) error {
	hadLogindConf := exists(r.Root + logindConf)
	var errs []error
	for _, path := range baseline.Trees {
		if path == logindConf || !r.before.Had(path) { // nobody but a kubelet writes that file
			errs = append(errs, r.remove(r.Root+path))
		}
	}
	if hadLogindConf && r.Root == "" {
		// So that logind gives no more time; without systemd there is nobody to tell.
		_ = exec.CommandContext(ctx, "systemctl", "kill", "--signal=HUP", "systemd-logind.service").Run()
	}
	return errors.Join(errs...)
}

// removeDirectories removes those that were not there before and have nothing in them now; the components' only where
// there were any.
func (r *resetter) removeDirectories(context.Context) error {
	dirs := baseline.AgentDirectories
	if r.isOurs(r.Paths.KubeletDir) {
		dirs = slices.Concat(baseline.Directories, dirs)
	}
	for _, path := range dirs {
		if !r.before.Had(path) && os.Remove(r.Root+path) == nil { // fails when there is something in it
			r.say("Removed %s", path)
		}
	}
	return r.tellOfStaticPods()
}

// tellOfStaticPods names the static pods that somebody gave this machine: they are not Drover's to delete, and would run on the
// next node that it becomes.
func (r *resetter) tellOfStaticPods() error {
	manifests, err := matches(r.Root+node.StaticPodDir, "*")
	if err != nil || len(manifests) == 0 {
		return err
	}
	r.say("Kept static pods that somebody put here, which run again should this machine become another node: %s", strings.Join(manifests, ", "))
	return nil
}

func (r *resetter) restoreSysctls() error {
	values, err := r.formerSysctls()
	errs := []error{err}
	for name, value := range values {
		path := filepath.Join(r.Root, "/proc/sys", name)
		data, err := os.ReadFile(path)
		if isGone(err) || errors.Is(err, os.ErrPermission) || err == nil && strings.TrimSpace(string(data)) == value {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", name, err))
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil && !errors.Is(err, os.ErrPermission) {
			errs = append(errs, fmt.Errorf("set %s back: %w", name, err))
			continue
		}
		r.say("Set %s back to %s", strings.ReplaceAll(name, "/", "."), value)
	}
	return errors.Join(errs...)
}

// formerSysctls are the values to set parameters back to: what the agent set itself, unless somebody else has set it since, and
// of what its components set, what it was before the agent came.
func (r *resetter) formerSysctls() (map[string]string, error) {
	owned, err := kernel.LoadOwned(r.RunDir)
	values := maps.Clone(r.before.Sysctls)
	if values == nil {
		values = map[string]string{}
	}
	for name, o := range owned {
		data, err := os.ReadFile(filepath.Join(r.Root, "/proc/sys", name))
		now := strings.TrimSpace(string(data))
		if err != nil || o.IsOurs(now) {
			values[name] = o.Before
			continue
		}
		delete(values, name)
		if now != o.Before {
			r.say("Left %s at %s, which somebody else has set it to since", strings.ReplaceAll(name, "/", "."), now)
		}
	}
	return values, err
}

// removeEmptyTables removes iptables' own tables if there were none before and nothing is in them now.
func (r *resetter) removeEmptyTables() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return fmt.Errorf("list nftables tables: %w", err)
	}
	for _, t := range tables {
		if !isIPTables(t) || r.before.HadTable(baseline.TableName(t)) || !isEmpty(conn, t) {
			continue
		}
		conn.DelTable(t)
		r.say("Removed nftables table %s", baseline.TableName(t))
	}
	return conn.Flush()
}

func isIPTables(t *nftables.Table) bool {
	switch t.Name {
	case "filter", "nat", "mangle", "raw":
		return t.Family == nftables.TableFamilyIPv4 || t.Family == nftables.TableFamilyIPv6
	}
	return false
}

// isEmpty says whether a table decides nothing: it has no chain but base chains without rules that accept.
func isEmpty(conn *nftables.Conn, t *nftables.Table) bool {
	chains, err := conn.ListChainsOfTableFamily(t.Family)
	if err != nil {
		return false
	}
	for _, c := range chains {
		if c.Table.Name != t.Name {
			continue
		}
		rules, err := conn.GetRules(t, c)
		if err != nil || len(rules) > 0 || c.Hooknum == nil || c.Policy != nil && *c.Policy != nftables.ChainPolicyAccept {
			return false
		}
	}
	return true
}
