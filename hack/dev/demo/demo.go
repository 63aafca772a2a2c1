// Package demo shows the whole: a pool of nodes, a Deployment on them, and its Service called by name.
package demo

import (
	"context"

	"github.com/drover-dev/drover/hack/dev/world"
)

// Run runs the demo.
func Run(ctx context.Context, w *world.World) error { return w.Up(ctx) }
