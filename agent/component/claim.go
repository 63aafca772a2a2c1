package component

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// markerName is the file that says of a directory which other container runtimes and kubelets use as well that it is
// the agent's.
const markerName = ".drover"

const markerText = "This directory is of Drover's node agent, which `drover-agent reset` removes.\n"

// claim is a directory that the components need to themselves.
type claim struct {
	dir  string
	mode os.FileMode // as the component itself would make it
	// inUse is there when somebody works in the directory; empty: any file says so.
	inUse string
}

func (p Paths) claims() []claim {
	return []claim{
		{dir: p.KubeletDir, mode: 0o750},
		{dir: p.ContainerdRoot, mode: 0o700},
		{dir: p.ContainerdState, mode: 0o711, inUse: p.Socket()},
	}
}

// Claim makes the directories of the kubelet and containerd and marks them as the agent's. It returns those that are
// in use without being marked, which are somebody else's; on a machine that is not known to be ours none is marked then.
// One that is known, and has no marker yet, has its directories from an agent that set none.
func (p Paths) Claim(known bool) (others []string, err error) {
	marked := false
	for _, c := range p.claims() {
		marked = marked || Claimed(c.dir)
		if c.taken() {
			others = append(others, c.dir)
		}
	}
	if known && !marked {
		others = nil
	}
	for _, c := range p.claims() {
		if len(others) == 0 || known && !c.taken() {
			err = errors.Join(err, c.mark())
		}
	}
	return others, err
}

// InUse are the directories of the kubelet and containerd that others use. Nothing is made or marked.
func (p Paths) InUse() []string {
	var others []string
	for _, c := range p.claims() {
		if c.taken() {
			others = append(others, c.dir)
		}
	}
	return others
}

// Claimed says whether a directory is marked as the agent's.
func Claimed(dir string) bool {
	_, err := os.Lstat(Marker(dir))
	return err == nil
}

// Marker is the path of the file that marks a directory.
func Marker(dir string) string { return filepath.Join(dir, markerName) }

// taken says whether somebody else uses the directory.
func (c claim) taken() bool {
	if Claimed(c.dir) {
		return false
	}
	if c.inUse != "" {
		_, err := os.Lstat(c.inUse)
		return err == nil
	}
	entries, err := os.ReadDir(c.dir)
	for _, e := range entries {
		if e.Name() != "lost+found" { // which a filesystem of its own has
			return true
		}
	}
	return err != nil && !errors.Is(err, os.ErrNotExist)
}

func (c claim) mark() error {
	if Claimed(c.dir) {
		return nil
	}
	if err := os.MkdirAll(c.dir, c.mode); err != nil {
		return fmt.Errorf("make a directory of the components: %w", err)
	}
	if err := os.WriteFile(Marker(c.dir), []byte(markerText), 0o644); err != nil {
		return fmt.Errorf("mark a directory of the components: %w", err)
	}
	return nil
}
