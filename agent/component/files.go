package component

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/internal/atomicfile"
)

// File is a file that a component reads.
type File struct {
	Path    string
	Content []byte
	Mode    os.FileMode
}

// WriteFiles writes the files that differ from what is on the node, each in one go, and removes the registries of an
// earlier plan, which containerd would go on using. It makes the directory of static pods, in which it changes nothing. It is
// called before the processes are applied.
func (p *Plan) WriteFiles() error {
	if err := makeStaticPodDir(p.staticPodDir); err != nil {
		return fmt.Errorf("make the directory of static pods: %w", err)
	}
	for _, file := range p.Files {
		if _, err := atomicfile.WriteDerived(file.Path, file.Content, file.Mode); err != nil {
			return fmt.Errorf("write the configuration of the components: %w", err)
		}
	}
	return p.removeOldRegistries()
}

// makeStaticPodDir makes a directory that nobody but root may write into, whoever made it: what is put there may run with
// all rights.
func makeStaticPodDir(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := os.Chown(dir, os.Geteuid(), -1); err != nil {
		return err
	}
	return os.Chmod(dir, info.Mode().Perm()&^0o022)
}

// Differing are the files that WriteFiles would write, and those that it would remove.
func (p *Plan) Differing() (written, removed []string, err error) {
	for _, file := range p.Files {
		if !atomicfile.Holds(file.Path, file.Content, file.Mode) {
			written = append(written, file.Path)
		}
	}
	removed, err = p.Surplus()
	return written, removed, err
}

// Surplus are the registries of an earlier plan, or of somebody else, which containerd would use as well.
func (p *Plan) Surplus() ([]string, error) {
	present, err := filepath.Glob(filepath.Join(p.registryDir, "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("list the registries of containerd: %w", err)
	}
	return slices.DeleteFunc(present, func(path string) bool {
		return slices.ContainsFunc(p.Files, func(file File) bool { return file.Path == path })
	}), nil
}

// Dirs are the directories of the files, and those that containerd looks for registries in.
func (p *Plan) Dirs() []string {
	dirs, _ := filepath.Glob(filepath.Join(p.registryDir, "*")) // the pattern is valid
	dirs = append(dirs, p.registryDir)
	for _, file := range p.Files {
		dirs = append(dirs, filepath.Dir(file.Path))
	}
	return dirs
}

// Readers are the processes that read a file at their start, and not again.
func (p *Plan) Readers(path string) []string {
	var names []string
	for _, process := range p.Processes {
		if slices.ContainsFunc(process.Args, func(arg string) bool { return arg == path || arg == "--config="+path }) {
			names = append(names, process.Name)
		}
	}
	return names
}

func (p *Plan) removeOldRegistries() error {
	surplus, err := p.Surplus()
	if err != nil {
		return err
	}
	for _, path := range surplus {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove a registry of containerd: %w", err)
		}
		// The directory goes with its last file.
		if err := os.Remove(filepath.Dir(path)); err != nil && !errors.Is(err, os.ErrNotExist) && !isNotEmpty(err) {
			return fmt.Errorf("remove a registry of containerd: %w", err)
		}
	}
	return nil
}

func isNotEmpty(err error) bool { return errors.Is(err, os.ErrExist) } // ENOTEMPTY

// add adds files, and returns the digest that a process which reads them has as its ConfigDigest.
func (p *Plan) add(files ...File) string {
	p.Files = append(p.Files, files...)
	hash := sha256.New()
	for _, file := range files {
		header := fmt.Sprintf("%s %o %d\n", file.Path, file.Mode, len(file.Content))
		hash.Write([]byte(header))
		hash.Write(file.Content)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// renderYAML renders a configuration without the fields that say nothing: upstream's types spell out many that stand
// for "the default".
func renderYAML(config any) ([]byte, error) {
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := yaml.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	prune(fields)
	return yaml.Marshal(fields)
}

// prune removes null, empty texts, durations of zero and tables with nothing left in them. Numbers and booleans stay:
// zero and false can mean something other than the default.
func prune(fields map[string]any) {
	for key, value := range fields {
		if table, isTable := value.(map[string]any); isTable {
			prune(table)
			if len(table) == 0 {
				delete(fields, key)
			}
		}
		if value == nil || value == "" || value == "0s" {
			delete(fields, key)
		}
	}
}
