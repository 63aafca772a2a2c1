package bundle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// The proof that is kept beside a bundle's files.
const (
	metadataDir  = ".oci"
	manifestFile = metadataDir + "/manifest.json"
	configFile   = metadataDir + "/config.json"
)

func (u *unpacker) metadata(found *image) error {
	err := u.root.MkdirAll(metadataDir, 0o755)
	for name, content := range found.documents {
		err = errors.Join(err, u.document(name, content))
	}
	return err
}

func (u *unpacker) document(name string, content []byte) error {
	file, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, u.settle(file), file.Close())
}

// open verifies the bundle in a directory: by its stamp when nothing was touched since it was proved, else byte by byte.
func (s *Store) open(dir string, digest v1.Hash) (*Bundle, error) {
	found, err := readImage(dir, digest)
	if err != nil {
		return nil, err
	}
	imprints, err := fingerprint(dir, found)
	if err != nil {
		return nil, err
	}
	if !s.remembered(dir, digest, imprints) {
		if err := hashFiles(dir, found, imprints); err != nil {
			return nil, err
		}
		s.remember(dir, digest, proof{Boot: s.maybeUnsettled(dir, digest), Files: imprints})
	}
	return &Bundle{Digest: digest.String(), Dir: dir, Versions: found.versions(), files: found.files}, nil
}

// Verify says whether a bundle on disk is still what its digest says, and its parts' paths lead to their content; the error says
// what is not so. Only where something was touched since it was proved its files are read.
func (s *Store) Verify(b *Bundle) error {
	digest, err := v1.NewHash(b.Digest)
	if err == nil {
		_, err = s.open(b.Dir, digest)
	}
	if err == nil {
		err = s.verifyParts(b)
	}
	return err
}

// Holds says whether a file has the content of one of the bundle's, such as bin/kubelet.
func (b *Bundle) Holds(name, path string) (bool, error) {
	file, listed := b.files[name]
	if !listed {
		return false, nil
	}
	err := hashFile(path, file)
	if errors.Is(err, ErrDigestMismatch) {
		return false, nil
	}
	return err == nil, err
}

func readImage(dir string, digest v1.Hash) (*image, error) {
	rawManifest, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, err
	}
	rawConfig, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	return parseImage(digest, rawManifest, rawConfig)
}

// fingerprint describes every file by its inode, and fails on a file too few, too many, or of another size or mode.
func fingerprint(dir string, found *image) (map[string]imprint, error) {
	imprints := make(map[string]imprint, len(found.files))
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, dir+string(filepath.Separator))
		if name == manifestFile || name == configFile {
			return nil
		}
		file, listed := found.files[name]
		if !listed {
			return fmt.Errorf("%w: %s does not belong to the bundle", ErrDigestMismatch, name)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode() != file.Mode || info.Size() != file.Size {
			return fmt.Errorf("%w: %s has mode %v and %d bytes, want %v and %d", ErrDigestMismatch, name, info.Mode(), info.Size(), file.Mode, file.Size)
		}
		imprints[name] = imprintOf(info)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name := range found.files {
		if _, present := imprints[name]; !present {
			return nil, fmt.Errorf("%w: %s is missing", ErrDigestMismatch, name)
		}
	}
	return imprints, nil
}

// hashFiles proves the content of every file, largest first so that the processors finish together; hard links once.
func hashFiles(dir string, found *image, imprints map[string]imprint) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	proved := map[[2]uint64]string{}
	for _, file := range bySize(found.files) {
		inode := imprints[file.Path].inode()
		if content, done := proved[inode]; done && content == file.SHA256 {
			continue
		}
		proved[inode] = file.SHA256
		group.Go(func() error { return hashFile(filepath.Join(dir, file.Path), file) })
	}
	return group.Wait()
}

func bySize(files map[string]File) []File {
	sorted := make([]File, 0, len(files))
	for _, file := range files {
		sorted = append(sorted, file)
	}
	slices.SortFunc(sorted, func(a, b File) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path))
	})
	return sorted
}

func hashFile(path string, want File) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := copyOut(hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want.SHA256 {
		return fmt.Errorf("%w: %s: want sha256:%s, got sha256:%s", ErrDigestMismatch, want.Path, want.SHA256, got)
	}
	return nil
}
