package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// partsDir holds a link for the content of each part: the programs of a component have the same paths in every bundle that has
// them with the same content, and so are no reason to restart it.
const partsDir = "parts"

// cniPart are the plugins. The other parts have the name of the component that they are the programs of.
const cniPart = "cni"

// partOf is the part that a file is of, empty for none.
func partOf(file string) string {
	dir, name := path.Split(file)
	switch {
	case dir == "cni/":
		return cniPart
	case file == "bin/kubelet", file == "bin/kube-proxy":
		return name
	case dir == "bin/" && (name == "runc" || strings.HasPrefix(name, "containerd")):
		return "containerd"
	default:
		return ""
	}
}

// ByContent is the bundle with its programs at paths that are the same for the same content. They lead to this bundle, which was
// verified, from now on, and so do those of another bundle that has the same. A part whose path cannot be made, as on a full disk,
// stays where it is.
func (s *Store) ByContent(b *Bundle) *Bundle {
	located := *b
	located.Parts = map[string]string{}
	for part, name := range contents(b.files) {
		link := s.link(name)
		if err := s.point(link, b.Dir); err != nil {
			s.Log.Error(err, "Left the programs of a component in the bundle's own directory", "part", part)
			continue
		}
		located.Parts[part] = link
	}
	return &located
}

// Foresee is what ByContent would give for an image that is on disk, by what its digest says of its files; nil where it is not
// there. Nothing is made, and no file of it verified: it is for who wants to know, and runs nothing.
func (s *Store) Foresee(image string) *Bundle {
	_, digest, err := parse(image)
	if err != nil {
		return nil
	}
	for _, root := range append([]string{s.Root}, s.Shared...) {
		dir := filepath.Join(root, digest.Hex)
		found, err := readImage(dir, digest)
		if err != nil {
			continue
		}
		b := &Bundle{Digest: digest.String(), Dir: dir, Versions: found.versions(), Parts: map[string]string{}, files: found.files}
		for part, name := range contents(b.files) {
			b.Parts[part] = s.link(name)
		}
		return b
	}
	return nil
}

// link is the path of a part by its content.
func (s *Store) link(content string) string { return filepath.Join(s.Root, partsDir, content) }

// contents are the names of the parts' contents, by part.
func contents(files map[string]File) map[string]string {
	parts := map[string][]File{}
	for _, file := range files {
		if part := partOf(file.Path); part != "" {
			parts[part] = append(parts[part], file)
		}
	}
	names := make(map[string]string, len(parts))
	for part, of := range parts {
		slices.SortFunc(of, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
		list, err := json.Marshal(of)
		if err != nil {
			panic(err) // texts and numbers always marshal
		}
		sum := sha256.Sum256(list)
		names[part] = hex.EncodeToString(sum[:])
	}
	return names
}

// pointing is held by whoever makes a link: a repair may do so beside an installation, and each link has one temporary name. It is held
// by whoever removes what has such names, too.
var pointing sync.Mutex

// point makes a link lead to a directory. It is replaced in one go: containerd starts shims by it at any moment.
func (s *Store) point(link, dir string) error {
	pointing.Lock()
	defer pointing.Unlock()
	if target, err := os.Readlink(link); err == nil && target == dir {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("make the directory of a bundle's parts: %w", err)
	}
	temporary := filepath.Join(s.Root, temporaryPrefix+filepath.Base(link))
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what was left of a link: %w", err)
	}
	if err := os.Symlink(dir, temporary); err != nil {
		return fmt.Errorf("link a part of a bundle: %w", err)
	}
	if err := os.Rename(temporary, link); err != nil {
		return errors.Join(fmt.Errorf("link a part of a bundle: %w", err), os.Remove(temporary))
	}
	return nil
}

// verifyParts says whether the paths of a bundle's parts lead to it, or to another bundle that has the same content.
func (s *Store) verifyParts(b *Bundle) error {
	for part, link := range b.Parts {
		dir, err := os.Readlink(link)
		if err != nil {
			return fmt.Errorf("%w: the path of %s leads nowhere: %w", ErrDigestMismatch, part, err)
		}
		if dir == b.Dir {
			continue
		}
		other, err := s.open(dir, v1.Hash{Algorithm: "sha256", Hex: filepath.Base(dir)})
		if err != nil {
			return fmt.Errorf("%w: the path of %s leads to %s: %w", ErrDigestMismatch, part, dir, err)
		}
		if contents(other.files)[part] != filepath.Base(link) {
			return fmt.Errorf("%w: the path of %s leads to %s, which has another", ErrDigestMismatch, part, dir)
		}
	}
	return nil
}

// collectParts removes the links that nothing needs, and has those of the kept bundles lead to them. It returns the directories
// that the others lead to.
func (s *Store) collectParts(kept []*Bundle, running *processes) (needed map[string]bool, err error) {
	target := map[string]string{}
	for _, b := range kept {
		for _, name := range contents(b.files) {
			target[name] = b.Dir
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.Root, partsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	needed = map[string]bool{}
	for _, entry := range entries {
		link := s.link(entry.Name())
		switch dir := target[entry.Name()]; {
		case dir != "":
			err = errors.Join(err, s.point(link, dir))
		case running.name(link):
			dir, unread := os.Readlink(link)
			needed[dir], err = true, errors.Join(err, unread)
		default:
			err = errors.Join(err, os.Remove(link))
		}
	}
	return needed, err
}
