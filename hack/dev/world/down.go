package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/drover-dev/drover/hack/dev/hostnet"
	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/hack/vm/machine"
)

// removeTimeout bounds the removal, which no interrupt ends. It takes seconds.
const removeTimeout = 2 * time.Minute

// Down removes everything of the world from this host, and of one whose folder is gone. It may be called again, and
// where there is no world; it does not touch one that another checkout can remove.
func (w *World) Down(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return Problems{"This needs root, to remove namespaces, links and cgroups: run it as root (sudo make down)."}
	}
	other, err := FindOther(layout.HostRecord, w.Layout)
	if err != nil {
		return err
	}
	if other != nil && !other.Lost {
		return Problems{fmt.Sprintf("The demo on this host was started in %s: run `make down` there.", other.Folder())}
	}
	if other != nil {
		w.Progress.Note("What was started in " + other.Folder() + ", whose record is gone from there, is removed.")
		if err := other.remove(ctx, w.Progress); err != nil || !w.journal.Exists() {
			return err
		}
	}
	if _, alive := w.find(Manager); alive && w.State() == Running {
		if err := w.Progress.Step("Node pools", func(say func(string)) error { return w.deletePools(ctx, say) }); err != nil && ctx.Err() == nil {
			w.Progress.Note("The pools did not go by themselves (" + err.Error() + "); ending their machines.")
		}
	}
	return w.remove(ctx)
}

// removal is the context to remove a world in. An interrupt before it leaves the world as it is; one that comes later
// does not leave half of it, and does not take the time to end from the processes.
func removal(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if ctx.Err() != nil {
		return nil, nil, Problems{"Interrupted before everything was removed: run `make down` again."}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	return ctx, cancel, nil
}

// remove undoes what is recorded, and looks for more.
func (w *World) remove(ctx context.Context) error {
	ctx, cancel, err := removal(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if err := w.endVirtualMachines(ctx); err != nil {
		return err
	}
	recorded := w.journal.Exists() && !w.journal.OfEarlierBoot()
	if err := w.Progress.Step("Processes, machines and network", func(say func(string)) error {
		return w.journal.Undo(func(e journal.Entry) error {
			say(string(e.Kind) + " " + e.Name)
			return w.undo(ctx, e)
		})
	}); err != nil {
		return err
	}
	return w.Progress.Step("Look for anything left", func(func(string)) error { return w.verify(ctx, recorded) })
}

// endVirtualMachines ends those on the world's bridge, and any other of this checkout.
func (w *World) endVirtualMachines(ctx context.Context) error {
	machines := machine.Of(w.Layout)
	names, err := machines.Names()
	if err != nil || len(names) == 0 {
		return err
	}
	return w.Progress.Step("Virtual machines", func(say func(string)) error {
		var err error
		for _, name := range names {
			say(name)
			err = errors.Join(err, machines.Down(ctx, name))
		}
		return err
	})
}

// verify removes what the record did not tell of, and returns an error that lists what stays. Without a record of this
// boot, this checkout made nothing: a bridge, links and cgroups that are there are somebody else's, and stay.
func (w *World) verify(ctx context.Context, recorded bool) error {
	if !recorded {
		return w.verifyOwn(ctx)
	}
	left, err := w.Leftovers()
	if err == nil && len(left) > 0 {
		err = errors.Join(w.stopMarked(ctx), w.removeMachines(ctx, w.Layout.Machines()))
		left, _ = w.Leftovers()
	}
	if len(left) > 0 {
		err = errors.Join(err, Problems{"Something is left that could not be removed: " + strings.Join(left, ", ") + "."})
	}
	return err
}

// verifyOwn looks only for what can be told to be this checkout's: its processes, and mounts below its folder.
func (w *World) verifyOwn(ctx context.Context) error {
	mounts, err := w.mounts()
	if len(mounts) > 0 {
		err = errors.Join(err, Problems{"Mounts are left that no record tells of: " + strings.Join(mounts, ", ") + ": unmount them."})
	}
	return errors.Join(err, w.stopMarked(ctx))
}

// stopMarked ends the processes that have this world's mark.
func (w *World) stopMarked(ctx context.Context) error {
	var err error
	for _, id := range process.Find(w.Layout.Root(), "") {
		err = errors.Join(err, process.Stop(ctx, id, stopGrace))
	}
	return err
}

// undo undoes one deed. That it was never done is no error.
func (w *World) undo(ctx context.Context, e journal.Entry) error {
	switch e.Kind {
	case journal.Process:
		return w.stop(ctx, e)
	case journal.Link:
		return hostnet.RemoveLink(e.Name)
	case journal.Sysctl:
		return hostnet.RestoreSysctl(e.Name, e.Set, e.Former)
	case journal.NFTable:
		return hostnet.RemoveTable(e.Name)
	case journal.Routes:
		return hostnet.RemoveRoutes(e.Name)
	case journal.Machines:
		if w.journal.OfEarlierBoot() {
			return w.removeMachinesFolder(e.Name)
		}
		return w.removeMachines(ctx, e.Name)
	case journal.Files:
		return os.RemoveAll(e.Name)
	default:
		return fmt.Errorf("the record %s has an entry of the unknown kind %q: it was made by another version of this program", w.Layout.Journal(), e.Kind)
	}
}

// stop ends the process of an entry; one whose ID was never recorded is found by its environment.
func (w *World) stop(ctx context.Context, e journal.Entry) error {
	ids := []process.ID{idOf(e)}
	if e.PID == 0 {
		ids = process.Find(w.Layout.Root(), e.Name)
	}
	var err error
	for _, id := range ids {
		err = errors.Join(err, process.Stop(ctx, id, stopGrace))
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", e.Name, err)
	}
	return nil
}
