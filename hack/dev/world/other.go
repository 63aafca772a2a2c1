package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/progress"
)

// Other is a world on this host that the record of a checkout does not tell of.
type Other struct {
	// Lost is true when its own folder does not tell of it either: the folder was removed while the world ran.
	Lost bool

	layout  layout.Layout
	journal *journal.Journal
}

// FindOther looks for one in the host's record, from the checkout of l.
func FindOther(hostRecord string, l layout.Layout) (*Other, error) {
	j, err := journal.Open(hostRecord)
	if err != nil || !j.Exists() {
		return nil, err
	}
	o := &Other{layout: layout.Layout{Repository: filepath.Dir(j.World)}, journal: j}
	_, err = os.Stat(o.layout.Journal())
	o.Lost = errors.Is(err, fs.ErrNotExist)
	if err != nil && !o.Lost {
		return nil, fmt.Errorf("look for the world of %s: %w", o.Folder(), err)
	}
	if !o.Lost && o.layout == l {
		return nil, nil
	}
	return o, nil
}

// Folder is the checkout where it was started.
func (o *Other) Folder() string { return o.layout.Repository }

// remove removes it, and what its processes made anew of its folder.
func (o *Other) remove(ctx context.Context, p *progress.Printer) error {
	w := &World{Layout: o.layout, Progress: p, journal: o.journal}
	if err := w.remove(ctx); err != nil {
		return err
	}
	for _, dir := range []string{o.layout.Root(), o.layout.Repository} {
		_ = os.Remove(dir) // unless it holds anything
	}
	return nil
}
