package selfupdate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// The names in the directory of agents.
const (
	// ProgramName is the agent's file in an image, and in a directory of one version.
	ProgramName  = "drover-agent"
	currentName  = "current"
	previousName = "previous"
)

const algorithm = "sha256:"

// Programs are the agents on a machine.
type Programs struct {
	// Dir has a directory for each.
	Dir string
	// Roots are the authorities that a registry may be signed by, as in a bundle.Store.
	Roots func() *x509.CertPool
	Log   logr.Logger
}

// CurrentPath is the program that whatever runs the agent is to start, where that was installed in dir.
func CurrentPath(dir string) string { return filepath.Join(dir, currentName, ProgramName) }

// Install makes a directory in dir the one whose program is started, whatever was on its way to be that.
func Install(dir, name string) error {
	for _, old := range []string{stateName, previousName} {
		if err := os.Remove(filepath.Join(dir, old)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forget the agents that were installed before: %w", err)
		}
	}
	return atomicfile.Symlink(name, filepath.Join(dir, currentName))
}

func (p *Programs) store() *bundle.Store {
	return &bundle.Store{Root: p.Dir, Roots: p.Roots, Log: p.Log}
}

// path is where the program of an image is.
func (p *Programs) path(digest string) string {
	return filepath.Join(p.Dir, strings.TrimPrefix(digest, algorithm), ProgramName)
}

// proved says whether the program of an image is on the disk, as its digest has it.
func (p *Programs) proved(digest string) bool {
	return p.store().Has("agent.invalid/agent@" + digest) // what has the image does not matter: it is not asked
}

// at is the directory that a link leads to, "" for none.
func (p *Programs) at(link string) string {
	target, err := os.Readlink(filepath.Join(p.Dir, link))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// Follows says whether the program that is started is a release's.
func (p *Programs) Follows(release *v1alpha1.AgentRelease) bool {
	digest := digestOf(release)
	return digest != "" && digest == algorithm+p.at(currentName)
}

var (
	imageName   = regexp.MustCompile(`^[a-f0-9]{64}$`)
	installName = regexp.MustCompile(`^[a-f0-9]{16}$`)
)

// Running is the digest of the image that this very program is from, "" where it is from none.
func (p *Programs) Running() string {
	self, err := os.Readlink(self)
	if err != nil {
		return ""
	}
	if name := filepath.Base(filepath.Dir(self)); imageName.MatchString(name) && isSelf(p.path(name)) {
		return algorithm + name
	}
	return ""
}

// Good is Running for a program that has proved itself. For one that has not, or was given up and is about to end, it is the digest of
// the one before it, "" where that is from no image.
func (p *Programs) Good() string {
	if p.Running() == "" {
		return ""
	}
	if name := p.at(currentName); imageName.MatchString(name) {
		return algorithm + name
	}
	return ""
}

// self is this very program.
const self = "/proc/self/exe"

func isSelf(path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	here, err := os.Stat(self)
	return err == nil && os.SameFile(here, there)
}

// adopt makes the program of an image the one that is started.
func (p *Programs) adopt(digest string) error {
	name := strings.TrimPrefix(digest, algorithm)
	if was := p.at(currentName); was != "" && was != name {
		if err := atomicfile.Symlink(was, filepath.Join(p.Dir, previousName)); err != nil {
			return err
		}
	}
	return atomicfile.Symlink(name, filepath.Join(p.Dir, currentName))
}

// collect removes the agents that are neither the current one nor the one before it, nor among those to keep, nor run.
func (p *Programs) collect(ctx context.Context, keep ...string) error {
	keep = append(keep, p.at(currentName), p.at(previousName))
	err := p.store().Collect(ctx, keep...)
	entries, unread := os.ReadDir(p.Dir)
	if !errors.Is(unread, os.ErrNotExist) {
		err = errors.Join(err, unread)
	}
	for _, entry := range entries {
		if name := entry.Name(); installName.MatchString(name) && !slices.Contains(keep, name) && !isSelf(filepath.Join(p.Dir, name, ProgramName)) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.Dir, name)))
		}
	}
	return err
}
