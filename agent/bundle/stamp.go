package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drover-dev/drover/internal/atomicfile"
)

const stampDir = ".stamps"

// imprint is a file's identity: whoever changes the content changes at least the time of the inode's last
// change, which no program can set.
type imprint struct {
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds
	Changed  int64  `json:"changed"`  // nanoseconds
}

func (p imprint) inode() [2]uint64 { return [2]uint64{p.Device, p.Inode} }

// proof is the state that a bundle was proved in. Boot is the boot in which it was, where its files may not have reached the disk:
// what the kernel has in its cache is proof only until the machine's next boot.
type proof struct {
	Boot  string             `json:"boot,omitempty"`
	Files map[string]imprint `json:"files"`
}

func imprintOf(info fs.FileInfo) imprint {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return imprint{}
	}
	return imprint{Device: stat.Dev, Inode: stat.Ino, Size: stat.Size, Modified: stat.Mtim.Nano(), Changed: stat.Ctim.Nano()}
}

// remembered says whether a bundle was proved already in exactly this state.
func (s *Store) remembered(dir string, digest v1.Hash, now map[string]imprint) bool {
	then, err := s.proofOf(dir, digest)
	return err == nil && (then.Boot == "" || then.Boot == bootID()) && maps.Equal(then.Files, now)
}

func (s *Store) proofOf(dir string, digest v1.Hash) (p proof, err error) {
	content, err := os.ReadFile(s.stamp(dir, digest))
	if err == nil {
		err = json.Unmarshal(content, &p)
	}
	return p, err
}

// remember keeps the state a bundle was proved in. Without it the next start only takes longer, so a failure is logged.
func (s *Store) remember(dir string, digest v1.Hash, p proof) {
	if err := s.writeStamp(s.stamp(dir, digest), p); err != nil {
		s.Log.Error(err, "Did not keep the stamp of a verified bundle; the next start hashes it again", "bundle", digest.String())
	}
}

func (s *Store) writeStamp(path string, p proof) error {
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Replace(path, bytes.NewReader(content), 0o600) // not synced: a stamp that is lost or torn costs one hashing
}

// stamp is the path of the stamp of one bundle in one directory.
func (s *Store) stamp(dir string, digest v1.Hash) string {
	where := sha256.Sum256([]byte(filepath.Clean(dir)))
	return filepath.Join(s.Root, stampDir, digest.Hex+"-"+hex.EncodeToString(where[:4])+".json")
}
