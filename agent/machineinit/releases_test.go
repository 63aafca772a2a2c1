package machineinit

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const authorityName = "ca.crt"

// releases is a registry of agents.
type releases struct {
	t      *testing.T
	server *httptest.Server
}

// newReleases serves agents to a machine, which finds the registry's authority in its directory.
func newReleases(t *testing.T, dir string) *releases {
	t.Helper()
	r := &releases{t: t, server: httptest.NewTLSServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0))))}
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(r.server.Close)
	r.check(os.WriteFile(filepath.Join(dir, authorityName), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw}), 0o600))
	return r
}

func (r *releases) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func rootsIn(dir string) func() *x509.CertPool {
	return func() *x509.CertPool {
		pool := x509.NewCertPool()
		data, _ := os.ReadFile(filepath.Join(dir, authorityName))
		pool.AppendCertsFromPEM(data)
		return pool
	}
}

// of is the release of a program.
func (r *releases) of(version string, program []byte) *v1alpha1.AgentRelease {
	r.t.Helper()
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	r.check(archive.WriteHeader(&tar.Header{Name: selfupdate.ProgramName, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))}))
	_, err := archive.Write(program)
	r.check(err)
	r.check(archive.Close())
	sum := sha256.Sum256(program)
	list, err := json.Marshal([]bundle.File{{Path: selfupdate.ProgramName, Mode: 0o755, Size: int64(len(program)), SHA256: hex.EncodeToString(sum[:])}})
	r.check(err)
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.AppendLayers(image, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer))
	r.check(err)
	config, err := image.ConfigFile()
	r.check(err)
	config = config.DeepCopy()
	config.Config.Labels = map[string]string{bundle.FilesLabel: string(list)}
	image, err = mutate.ConfigFile(image, config)
	r.check(err)
	digest, err := image.Digest()
	r.check(err)
	reference := strings.TrimPrefix(r.server.URL, "https://") + "/agent@" + digest.String()
	parsed, err := name.NewDigest(reference)
	r.check(err)
	r.check(remote.Write(parsed, image, remote.WithTransport(r.server.Client().Transport)))
	return &v1alpha1.AgentRelease{Version: version, Artifacts: []v1alpha1.Artifact{{Architecture: runtime.GOARCH, Image: reference}}}
}

// changes are those of what is on a machine's disk of its agents.
type changes struct {
	t    *testing.T
	fd   int
	seen int
}

func (m *machine) watch() *changes {
	m.t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, filepath.Join(m.dir, "agent"), unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return &changes{t: m.t, fd: fd}
}

func (c *changes) close() { _ = unix.Close(c.fd) }

// await waits for the nth change, or until there will be none any more, and says which of the two came.
func (c *changes) await(n int, over func() bool) bool {
	c.t.Helper()
	event := make([]byte, unix.SizeofInotifyEvent+unix.NAME_MAX+1)
	for range 30_000 {
		done := over()
		for {
			size, err := unix.Read(c.fd, event)
			if err != nil || size <= 0 {
				break
			}
			if c.seen += count(event[:size]); c.seen >= n {
				return true
			}
		}
		if done {
			return false
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, 1)
		if err != nil && err != unix.EINTR {
			c.t.Fatal(err)
		}
	}
	c.t.Fatalf("after %d changes there came no other, and the update is not over", c.seen)
	return false
}

// count is how many events a buffer has.
func count(buffer []byte) (n int) {
	for at := 0; at+unix.SizeofInotifyEvent <= len(buffer); n++ {
		length := int(buffer[at+12]) | int(buffer[at+13])<<8
		at += unix.SizeofInotifyEvent + length
	}
	return n
}
