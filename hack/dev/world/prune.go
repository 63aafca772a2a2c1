package world

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/hack/artifacts/oci"
	"github.com/drover-dev/drover/hack/dev/layout"
)

// building is how old a blob may be that a build is about to use.
const building = time.Hour

// pruneArtifacts removes what former builds made: a world that just starts refers to the last one's alone.
func (w *World) pruneArtifacts() error {
	digests, err := layout.ReadDigests(w.Layout)
	if err != nil {
		return err
	}
	for repository := range digests {
		artifacts, err := oci.OpenLayout(w.Layout.Path("artifacts", repository))
		if err != nil {
			return err
		}
		if err := artifacts.Prune(time.Now().Add(-building)); err != nil {
			return err
		}
	}
	return nil
}

// pruneBundles removes the unpacked bundles of former builds. No machine may run that was started with one.
func (w *World) pruneBundles(ctx context.Context) error {
	image, err := w.bundleImage()
	if err != nil {
		return err
	}
	store := &bundle.Store{Root: w.Layout.Bundles(), Log: logr.Discard()}
	if err := store.Collect(ctx, image); err != nil {
		return fmt.Errorf("remove the bundles of former builds: %w", err)
	}
	return nil
}
