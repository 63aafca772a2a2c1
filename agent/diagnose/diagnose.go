package diagnose

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/api/node"
)

const (
	// DefaultLimit is how large an archive becomes at most.
	DefaultLimit = 20 << 20
	// MinLimit is the least that anything useful fits into.
	MinLimit = 256 << 10
	// partTimeout is how long one part may take. They are read beside each other.
	partTimeout = 10 * time.Second
)

// Options say where things are on the node; the zero value of each is its own place.
type Options struct {
	BootstrapPath, StateDir, RunDir string
	Paths                           component.Paths
	// CgroupRoot is the cgroup that the components' and the pods' are in. Default: /.
	CgroupRoot string
	// Limit is how many bytes the archive may have. Default: DefaultLimit.
	Limit int64
	// AgentVersion is that of the agent that makes it.
	AgentVersion string

	// parts and timeout are others in tests.
	parts   []part
	timeout time.Duration
}

func (o Options) withDefaults() Options {
	for field, value := range map[*string]string{
		&o.BootstrapPath: node.BootstrapPath, &o.StateDir: node.StateDir, &o.RunDir: node.RunDir, &o.CgroupRoot: "/",
	} {
		if *field == "" {
			*field = value
		}
	}
	if o.Paths == (component.Paths{}) {
		o.Paths = component.DefaultPaths()
	}
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.timeout == 0 {
		o.timeout = partTimeout
	}
	if o.parts == nil {
		o.parts = parts()
	}
	return o
}

// Summary is what an archive has.
type Summary struct {
	// Bytes is its size, and Files how many files it has.
	Bytes int64
	Files int
	// Missing is what could not be read, with the reason.
	Missing []Missing
}

// Missing is something that is not in the archive.
type Missing struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
}

// Name is what an archive of this node is called by itself.
func Name(o Options, now time.Time) string {
	return fmt.Sprintf("drover-diagnose-%s-%s", o.withDefaults().nodeName(), now.UTC().Format("20060102T150405Z"))
}

// nodeName is the node's, or the machine's where it was never told.
func (o Options) nodeName() string {
	if b, err := readBootstrap(o.BootstrapPath); err == nil && b.NodeName != "" {
		return b.NodeName
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "node"
}

// Write collects everything and writes the archive, a gzipped tar whose files are in a directory of the given name. What
// could not be read is no error; what could not be written is.
func Write(ctx context.Context, out io.Writer, name string, o Options) (Summary, error) {
	o = o.withDefaults()
	if o.Limit < MinLimit {
		return Summary{}, fmt.Errorf("an archive of %d bytes has no room for anything: take %d at least", o.Limit, MinLimit)
	}
	hide := secretsOf(o).hide
	a := newArchive(out, name, o.Limit)
	index := index{Node: o.nodeName(), Time: time.Now().UTC().Truncate(time.Second), AgentVersion: o.AgentVersion, LimitBytes: o.Limit}
	for _, read := range collect(ctx, o) {
		for _, f := range read.files {
			if err := a.add(f, hide); err != nil {
				return Summary{}, err
			}
		}
		for _, m := range read.missing {
			index.Missing = append(index.Missing, Missing{What: hide(m.What), Reason: hide(m.Reason)})
		}
	}
	index.Missing = append(index.Missing, a.left...)
	if err := a.finish(index); err != nil {
		return Summary{}, err
	}
	return Summary{Bytes: a.written.bytes, Files: len(a.files), Missing: index.Missing}, nil
}
