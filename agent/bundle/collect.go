package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const collectTimeout = 10 * time.Second

// errInUse ends a walk.
var errInUse = errors.New("in use")

var digestPattern = regexp.MustCompile(`^[a-f0-9]{64}$`)

// Collect removes the bundles in Root that are neither kept (image references or digests) nor used by a running process, and what
// is left of their parts.
func (s *Store) Collect(ctx context.Context, keep ...string) error {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := s.processes()
	if err != nil {
		return fmt.Errorf("see which bundles are in use: %w", err)
	}
	needed, err := s.collectParts(s.present(keep), running)
	if err != nil {
		return fmt.Errorf("see which parts of bundles are in use: %w", err)
	}
	candidates, err := s.unkept(keep)
	for _, hex := range candidates {
		if dir := filepath.Join(s.Root, hex); needed[dir] || running.use(dir) {
			s.Log.Info("Kept an old bundle that a process still uses", "bundle", hex)
		} else {
			err = errors.Join(err, s.remove(hex))
		}
	}
	return err
}

// present are those of the kept bundles that are whole on disk.
func (s *Store) present(keep []string) []*Bundle {
	var found []*Bundle
	for _, image := range keep {
		hex := hexOf(image)
		if !digestPattern.MatchString(hex) {
			continue // an agent that was installed, say, is no bundle
		}
		if b := s.find(v1.Hash{Algorithm: "sha256", Hex: hex}); b != nil {
			found = append(found, b)
		}
	}
	return found
}

// hexOf is the end of an image reference or a digest.
func hexOf(image string) string { return image[strings.LastIndex(image, ":")+1:] }

func (s *Store) unkept(keep []string) ([]string, error) {
	kept := map[string]bool{}
	for _, image := range keep {
		kept[hexOf(image)] = true
	}
	entries, err := os.ReadDir(s.Root)
	var unkept []string
	for _, entry := range entries {
		if hex := entry.Name(); digestPattern.MatchString(hex) && !kept[hex] {
			unkept = append(unkept, hex)
		}
	}
	return unkept, err
}

// remove takes the name away first, so that a kill half-way leaves no half bundle.
func (s *Store) remove(hex string) error {
	doomed := filepath.Join(s.Root, temporaryPrefix+hex)
	if err := os.Rename(filepath.Join(s.Root, hex), doomed); err != nil {
		return err
	}
	stamps, _ := filepath.Glob(filepath.Join(s.Root, stampDir, hex+"-*")) // the pattern is valid
	var err error
	for _, stamp := range stamps {
		err = errors.Join(err, os.Remove(stamp))
	}
	s.Log.Info("Removed an unused bundle", "bundle", hex)
	return errors.Join(err, os.RemoveAll(doomed))
}

// processes is what running processes refer to: their executables and the words of their command lines.
type processes struct {
	executables map[[2]uint64]bool // device and inode, which hold in any mount namespace
	words       []string
}

func (s *Store) processes() (*processes, error) {
	proc := s.proc
	if proc == "" {
		proc = "/proc"
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	found := &processes{executables: map[[2]uint64]bool{}}
	for _, entry := range entries {
		if entry.Name()[0] < '0' || entry.Name()[0] > '9' {
			continue
		}
		found.add(filepath.Join(proc, entry.Name())) // a process that ended meanwhile uses nothing
	}
	return found, nil
}

func (p *processes) add(dir string) {
	if info, err := os.Stat(filepath.Join(dir, "exe")); err == nil {
		p.executables[imprintOf(info).inode()] = true
	}
	if link, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		p.words = append(p.words, link)
	}
	if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		p.words = append(p.words, strings.Split(string(line), "\x00")...)
	}
}

// name says whether a process was started with a path, or one below it.
func (p *processes) name(path string) bool {
	return slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(word, path) })
}

// use says whether a process runs a file of the directory, or names it.
func (p *processes) use(dir string) bool {
	if p.name(dir) {
		return true
	}
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && p.executables[imprintOf(info).inode()] {
			err = errInUse
		}
		return err
	})
	return err != nil // what cannot be looked at is kept
}
