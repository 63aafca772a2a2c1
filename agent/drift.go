package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/drift"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

const (
	// rescanEvery is the time between two looks at files, and programsEvery at programs, of which the kernel tells changes.
	rescanEvery   = 30 * time.Second
	programsEvery = 5 * time.Minute
	// reloadPatience bounds systemd's reading its units again.
	reloadPatience = 30 * time.Second
)

// applied is what the machine was made to have last. It is held while that is written or compared with what is there.
type applied struct {
	mu         sync.Mutex
	generation *generation.Generation // nil until this agent has applied one
	plan       *component.Plan
	bundle     *bundle.Bundle
	work       *work
}

// write writes the files of a plan, which are those that the machine is to have from then on. Where that failed, what is there is
// neither the plan before nor this one, and nobody else's doing: no file is compared with anything before the next one is written.
func (a *applied) write(g *generation.Generation, w *work, b *bundle.Bundle, plan *component.Plan) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := plan.WriteFiles(); err != nil {
		a.plan = nil
		return err
	}
	a.generation, a.plan, a.bundle, a.work = g, plan, b, w
	return nil
}

// restore writes the files again that the machine is to have, and returns their plan, nil where none is known.
func (a *applied) restore() (*component.Plan, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plan == nil {
		return nil, nil
	}
	return a.plan, a.plan.WriteFiles()
}

// policies are those of what the machine was made to have last; nothing is looked at before.
func (a *applied) policies() (of v1alpha1.DriftSettings, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.generation == nil {
		return of, false
	}
	return a.generation.Spec.Drift, true
}

// newDriftKeeper makes what sees, and puts back, what others change of the node.
func (a *Agent) newDriftKeeper() *drift.Keeper {
	policy := func(of func(v1alpha1.DriftSettings) v1alpha1.DriftPolicy) func() v1alpha1.DriftPolicy {
		return func() v1alpha1.DriftPolicy {
			settings, any := a.applied.policies()
			if !any {
				return v1alpha1.DriftIgnore
			}
			return repairUnless(of(settings))
		}
	}
	files := policy(func(s v1alpha1.DriftSettings) v1alpha1.DriftPolicy { return s.Files })
	parts := []drift.Part{
		{Name: "files", Policy: files, Every: rescanEvery, Look: a.lookAtFiles, Repair: a.repairFiles, Dirs: a.fileDirs},
		{Name: "CNI configuration", Policy: files, Every: rescanEvery, Look: a.lookAtCNI, Repair: func(context.Context, []drift.Difference) error { return a.network.Apply() },
			Dirs: func() []string { return []string{a.paths.CNIConfDir} }},
		{Name: "sysctls", Policy: policy(func(s v1alpha1.DriftSettings) v1alpha1.DriftPolicy { return s.Sysctls }), Every: drift.Soon,
			Look: a.lookAtSysctls, Repair: func(context.Context, []drift.Difference) error { return a.kernel.RepairSysctls() }},
		{Name: "binaries", Policy: policy(func(s v1alpha1.DriftSettings) v1alpha1.DriftPolicy { return s.Binaries }), Every: programsEvery,
			Look: a.lookAtPrograms, Repair: a.repairPrograms, Dirs: a.programDirs},
	}
	if units := ownUnits(); units != nil {
		parts = append(parts, unitPart(units, a.unitPolicy(files)))
	}
	return &drift.Keeper{Parts: parts, Changed: func() { wake(a.dirty) }, Clock: clock.RealClock{}, Log: a.log.WithName("drift")}
}

// repairUnless is a policy, the schema's default for those who set none.
func repairUnless(p v1alpha1.DriftPolicy) v1alpha1.DriftPolicy {
	if p == "" {
		return v1alpha1.DriftRepair
	}
	return p
}

func (a *Agent) lookAtFiles(context.Context) ([]drift.Difference, error) {
	a.applied.mu.Lock()
	defer a.applied.mu.Unlock()
	if a.applied.plan == nil {
		return nil, nil
	}
	var found []drift.Difference
	for _, file := range a.applied.plan.Files {
		if d := drift.File(file.Path, file.Content, file.Mode); d != nil {
			found = append(found, *d)
		}
	}
	surplus, err := a.applied.plan.Surplus()
	for _, path := range surplus {
		found = append(found, drift.Surplus(path))
	}
	return found, err
}

func (a *Agent) fileDirs() []string {
	a.applied.mu.Lock()
	defer a.applied.mu.Unlock()
	if a.applied.plan == nil {
		return nil
	}
	return a.applied.plan.Dirs()
}

// repairFiles writes the plan again. A component is started again only if it may have read what was wrong: one that runs for
// longer read what the plan has.
func (a *Agent) repairFiles(_ context.Context, found []drift.Difference) error {
	plan, err := a.applied.restore()
	if plan == nil || err != nil {
		return err
	}
	for name, file := range a.misled(plan, found) {
		a.supervise.Mend(name, "it was started when "+file+" was not its own")
	}
	return nil
}

// misled are the components that may have read a file while it differed, each with that file.
func (a *Agent) misled(plan *component.Plan, found []drift.Difference) map[string]string {
	names := map[string]string{}
	for _, d := range found {
		for _, name := range plan.Readers(d.Name) {
			if a.startedSince(name, d.Changed) {
				names[name] = d.Name
			}
		}
	}
	return names
}

// startedSince says whether a component that runs was started after a time, as far as whole seconds tell.
func (a *Agent) startedSince(name string, since time.Time) bool {
	return slices.ContainsFunc(a.supervise.Status(), func(c v1alpha1.ComponentStatus) bool {
		return c.Name == name && c.PID != nil && !c.StartedAt.Time.Before(since.Truncate(time.Second))
	})
}

func (a *Agent) lookAtCNI(context.Context) (found []drift.Difference, _ error) {
	a.network.CheckCNI(func(path string, content []byte, mode os.FileMode) {
		if d := drift.File(path, content, mode); d != nil {
			found = append(found, *d)
		}
	})
	return found, nil
}

func (a *Agent) lookAtSysctls(context.Context) ([]drift.Difference, error) {
	var found []drift.Difference
	for _, d := range a.kernel.DriftedSysctls() {
		found = append(found, drift.Difference{Name: d.Name, Detail: fmt.Sprintf("is %.64q, not %.64q", d.Have, d.Want)})
	}
	return found, nil
}

// lookAtPrograms reads those files of the bundle that were touched since it was proved.
func (a *Agent) lookAtPrograms(context.Context) ([]drift.Difference, error) {
	b, g, _ := a.programs()
	if b == nil {
		return nil, nil
	}
	err := a.bundles(g.Spec.Cluster).Verify(b)
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, bundle.ErrDigestMismatch), errors.Is(err, os.ErrNotExist), errors.Is(err, bundle.ErrInvalid):
		return []drift.Difference{{Name: "bundle " + b.Dir, Detail: "is not what was verified: " + err.Error()}}, nil
	default:
		return nil, err
	}
}

func (a *Agent) programs() (*bundle.Bundle, *generation.Generation, *work) {
	a.applied.mu.Lock()
	defer a.applied.mu.Unlock()
	return a.applied.bundle, a.applied.generation, a.applied.work
}

func (a *Agent) programDirs() []string {
	b, _, _ := a.programs()
	if b == nil {
		return nil
	}
	in := b.InPlace()
	dirs := []string{in.Dir, filepath.Dir(in.Bin(v1alpha1.ComponentKubelet)), in.CNIDir(), in.ImagesDir()}
	for _, link := range b.Parts {
		dirs = append(dirs, filepath.Dir(link))
	}
	return dirs
}

// repairPrograms has the bundle fetched and unpacked anew, in the place of the broken one, or in our own store where that is one
// that others share with us, to which the programs' paths lead from then on.
func (a *Agent) repairPrograms(ctx context.Context, _ []drift.Difference) error {
	b, g, w := a.programs()
	ref, err := g.Image(runtime.GOARCH)
	if err != nil {
		return err
	}
	store := a.bundles(g.Spec.Cluster)
	whole, err := store.Ensure(ctx, ref)
	if err != nil {
		return err
	}
	whole = store.ByContent(whole)
	if whole.Dir != b.Dir {
		w.mu.Lock()
		w.bundle = whole
		w.mu.Unlock()
		a.applied.mu.Lock()
		if a.applied.bundle == b {
			a.applied.bundle = whole
		}
		a.applied.mu.Unlock()
		a.drift.Look()
		a.rebuild()
	}
	return a.restartOthers(whole)
}

// restartOthers has the components started again that run another program than the bundle's. The kernel lets nobody change a
// program that runs, but for one that is replaced. Where another generation was activated while the bundle was fetched, they are
// to run its programs.
func (a *Agent) restartOthers(whole *bundle.Bundle) error {
	if b, _, _ := a.programs(); b == nil || b.Digest != whole.Digest {
		return nil
	}
	var errs []error
	for _, c := range a.supervise.Status() {
		if c.PID == nil {
			continue
		}
		is, err := whole.Holds("bin/"+c.Name, fmt.Sprintf("/proc/%d/exe", ptr.Deref(c.PID, 0)))
		if err == nil && !is {
			a.supervise.Mend(c.Name, "its program is not the bundle's")
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it has ended, and is started with the right one
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// bringUnits makes the systemd units those of this agent, which has proved itself. Until then they are its predecessor's, and
// nobody else has changed them.
func (a *Agent) bringUnits(ctx context.Context) {
	if units := ownUnits(); units != nil {
		if err := writeUnits(ctx, units); err != nil {
			a.log.Error(err, "Left it to the look at the systemd units to write them")
		}
	}
	a.unitsBrought.Store(true)
	a.drift.Look()
}

// unitPolicy is a policy for the systemd units.
func (a *Agent) unitPolicy(of func() v1alpha1.DriftPolicy) func() v1alpha1.DriftPolicy {
	return func() v1alpha1.DriftPolicy {
		if !a.unitsBrought.Load() {
			return v1alpha1.DriftIgnore
		}
		return of()
	}
}

// ownUnits are the systemd units that run this agent, nil where it is run by something else.
func ownUnits() map[string]string {
	binary, err := os.Executable()
	if err != nil || !strings.HasPrefix(binary, node.AgentDir+"/") {
		return nil
	}
	unit, err := os.ReadFile(service.UnitPath)
	if err != nil || !strings.Contains(string(unit), "\nExecStart="+selfupdate.CurrentPath(node.AgentDir)+" ") {
		return nil
	}
	return service.Units()
}

func unitPart(units map[string]string, policy func() v1alpha1.DriftPolicy) drift.Part {
	paths := slices.Sorted(maps.Keys(units))
	return drift.Part{
		Name: "systemd units", Policy: policy, Every: rescanEvery,
		Dirs: func() []string { return []string{filepath.Dir(service.UnitPath)} },
		Look: func(context.Context) (found []drift.Difference, _ error) {
			for _, path := range paths {
				if d := drift.File(path, []byte(units[path]), 0o644); d != nil {
					found = append(found, *d)
				}
			}
			return found, nil
		},
		Repair: func(ctx context.Context, _ []drift.Difference) error { return writeUnits(ctx, units) },
	}
}

// writeUnits writes those units that differ, and has systemd read them.
func writeUnits(ctx context.Context, units map[string]string) error {
	changed := false
	for path, content := range units {
		wrote, err := atomicfile.WriteIfChanged(path, []byte(content), 0o644)
		if err != nil {
			return err
		}
		changed = changed || wrote
	}
	if !changed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "systemctl", "daemon-reload").CombinedOutput(); err != nil {
		return fmt.Errorf("have systemd read its units again: %w: %s", err, out)
	}
	return nil
}
