package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/drover-dev/drover/hack/dev/hostnet"
	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/preflight"
)

// Up starts the world, or what is missing of it if it runs.
func (w *World) Up(ctx context.Context) error {
	fresh := w.State() != Running
	if fresh {
		if err := w.start(ctx); err != nil {
			return err
		}
	} else if err := w.checkCurrent(); err != nil {
		return err
	}
	if err := w.Progress.Step("Kinds, roles and admission policies", func(func(string)) error { return w.install(ctx) }); err != nil {
		return err
	}
	if err := w.Progress.Step("Routes to pods", func(say func(string)) error { return w.startRoutes(ctx, say) }); err != nil {
		return err
	}
	if err := w.Progress.Step("Drover's manager", func(say func(string)) error { return w.startManager(ctx, say) }); err != nil {
		return err
	}
	return w.Progress.Step("Node bundle, unpacked once for all machines", func(func(string)) error {
		if err := w.unpack(ctx); err != nil || !fresh {
			return err
		}
		return w.pruneBundles(ctx)
	})
}

// start starts the control plane, on a host that has nothing of it.
func (w *World) start(ctx context.Context) error {
	if err := w.Progress.Step("Preflight", func(func(string)) error { return w.preflight(Binaries(w.Layout)) }); err != nil {
		return err
	}
	if err := w.pruneArtifacts(); err != nil {
		return err
	}
	if err := w.Progress.Step("Keys and certificates", func(func(string)) error {
		return w.makePKI()
	}); err != nil {
		return err
	}
	if err := w.Progress.Step("Network "+layout.Bridge, func(func(string)) error { return w.makeNetwork() }); err != nil {
		return err
	}
	if err := errors.Join(w.raiseInotify(), w.recordTunables()); err != nil {
		return err
	}
	for _, name := range controlPlane() {
		if err := w.Progress.Step(name, func(say func(string)) error { return w.startProcess(ctx, name, say) }); err != nil {
			return err
		}
	}
	// What comes now can be done again beside a running control plane.
	return w.journal.MarkComplete()
}

// Preflight returns an error with every problem there is with starting the world here, but for what is not built yet.
func (w *World) Preflight() error {
	if w.State() == Running && os.Geteuid() == 0 {
		return nil
	}
	return w.preflight(nil)
}

func (w *World) preflight(files []string) error {
	host, err := preflight.Gather(w.Layout, files)
	if err != nil {
		return err
	}
	host.EarlierRun = w.journal.Exists()
	other, err := FindOther(layout.HostRecord, w.Layout)
	if err != nil {
		return err
	}
	if other != nil {
		host.OtherWorld, host.OtherLost = other.Folder(), other.Lost
	}
	if problems := preflight.Check(host); len(problems) > 0 {
		return Problems(problems)
	}
	return nil
}

// Problems are sentences for the user, each with what to do.
type Problems []string

// Error joins them.
func (p Problems) Error() string { return strings.Join(p, "\n") }

// do records the deed, then does it.
func (w *World) do(e journal.Entry, deed func() error) error {
	if err := w.journal.Record(e); err != nil {
		return err
	}
	return deed()
}

// set sets a kernel parameter until the world ends.
func (w *World) set(name, value string) error {
	former, err := hostnet.Sysctl(name)
	if err != nil {
		return err
	}
	return w.do(journal.Entry{Kind: journal.Sysctl, Name: name, Former: former, Set: value}, func() error {
		return hostnet.SetSysctl(name, value)
	})
}

func (w *World) makeNetwork() error {
	if err := w.do(journal.Entry{Kind: journal.Link, Name: layout.Bridge}, func() error {
		return hostnet.MakeBridge(layout.Bridge, layout.BridgeCIDR)
	}); err != nil {
		return err
	}
	if err := w.set("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	return w.do(journal.Entry{Kind: journal.NFTable, Name: layout.NFTable}, func() error {
		return hostnet.MakeNAT(layout.NFTable, layout.Bridge, layout.BridgeCIDR)
	})
}

// install applies what the manager needs in the cluster, less its own Deployment.
func (w *World) install(ctx context.Context) error {
	c, err := w.Client()
	if err != nil {
		return err
	}
	objects, err := install.File(w.Layout.ClusterAPI())
	if err != nil {
		return err
	}
	ours, err := install.Kustomization(w.Layout.Config("dev"))
	if err != nil {
		return err
	}
	access, err := kubeletAccess()
	if err != nil {
		return err
	}
	return install.Apply(ctx, c, append(append(objects, ours...), access))
}

// startRoutes starts what keeps the host's routes to pods, anew if its binary was built again since. The API server calls
// webhooks and aggregated APIs in pods, and is asked to be a proxy to them.
func (w *World) startRoutes(ctx context.Context, say func(string)) error {
	if err := w.stopStale(ctx, Routes); err != nil {
		return err
	}
	return w.do(journal.Entry{Kind: journal.Routes, Name: layout.PodCIDR}, func() error {
		return w.startProcess(ctx, Routes, say)
	})
}

// startManager starts the manager, anew if its binary was built again since.
func (w *World) startManager(ctx context.Context, say func(string)) error {
	for _, dir := range []string{w.Layout.Machines(), w.Layout.Bundles()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a folder for the manager: %w", err)
		}
	}
	if err := w.stopStale(ctx, Manager); err != nil {
		return err
	}
	return w.do(journal.Entry{Kind: journal.Machines, Name: w.Layout.Machines()}, func() error {
		return w.startProcess(ctx, Manager, say)
	})
}
