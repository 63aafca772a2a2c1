package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/controllers/infra"
)

// steps are how long each thing may take that is done on a server, whose sshd may answer while what it runs does not. What
// comes of a step is written with time of its own. Zeros mean the defaults.
type steps struct {
	// short is for what takes seconds, 90 s by default.
	short time.Duration
	// copy is for the agent's program, half an hour by default: it is enough at 16 kB/s, over which no node would get its
	// images. A server that takes nothing at all is given up much sooner, see remote.Limits.
	copy time.Duration
	// reset is for the agent's reset, 10 minutes by default: it waits a minute for each of a few things to end.
	reset time.Duration
}

func (s steps) orDefaults() steps {
	if s.short == 0 {
		s.short = infra.ReconcileTimeout
	}
	if s.copy == 0 {
		s.copy = 30 * time.Minute
	}
	if s.reset == 0 {
		s.reset = 10 * time.Minute
	}
	return s
}

// longest is far more than all the steps together that one visit has.
const longest = time.Hour

// within does one thing on a server, and says if it did not end in time: that is no trouble with the connection.
func within(ctx context.Context, limit time.Duration, what string, do func(context.Context) error) error {
	step, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(step)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &infra.Problem{Reason: remote.Timeout, Message: fmt.Sprintf("On the server, %s did not end within %s, and nothing says why.", what, limit)}
	}
	return err
}

// run runs a script that takes seconds.
func (s *server) run(ctx context.Context, what, script string, stdin io.Reader) (out []byte, err error) {
	err = within(ctx, s.steps.short, what, func(ctx context.Context) error {
		out, err = s.Run(ctx, script, stdin)
		return err
	})
	return out, err
}
