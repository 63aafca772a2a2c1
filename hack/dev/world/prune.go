package world

import (
	"time"

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
