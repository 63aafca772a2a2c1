package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// upstream is a site of released files that counts what is downloaded.
type upstream struct {
	*httptest.Server
	files    map[string]string
	requests int
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{files: map[string]string{}}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.requests++
		content, ok := u.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) file(path, content string) download {
	u.files["/"+filepath.Base(path)] = content
	return download{URL: u.URL + "/" + filepath.Base(path), SHA256: sum(content), Path: path}
}

func (u *upstream) archive(t *testing.T, name string, members map[string]string) download {
	t.Helper()
	var buffer bytes.Buffer
	compressor := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(compressor)
	for member, path := range members {
		must(t, archive.WriteHeader(&tar.Header{Name: "./" + member, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(path))}))
		_, err := archive.Write([]byte(path))
		must(t, err)
	}
	must(t, archive.Close())
	must(t, compressor.Close())
	file := u.file(name, buffer.String())
	file.Path, file.Members = "", members
	return file
}

// released lists a whole bundle as upstreams publish it.
func (u *upstream) released(t *testing.T) release {
	t.Helper()
	one := func(path string) []download { return []download{u.file(path, path)} }
	return release{Architecture: "amd64", Components: []releasedComponent{
		{Name: "kubelet", Version: "v1.36.3", Files: one("bin/kubelet")},
		{Name: "kube-proxy", Version: "v1.36.3", Files: one("bin/kube-proxy")},
		{Name: "containerd", Version: "v2.4.2", Files: []download{u.archive(t, "containerd.tgz", map[string]string{
			"bin/containerd": "bin/containerd", "bin/containerd-shim-runc-v2": "bin/containerd-shim-runc-v2"})}},
		{Name: "runc", Version: "v1.5.2", Files: one("bin/runc")},
		{Name: "cni", Version: "v1.9.1", Files: []download{u.archive(t, "cni.tgz", map[string]string{
			"bridge": "cni/bridge", "host-local": "cni/host-local", "loopback": "cni/loopback", "portmap": "cni/portmap"})}},
		{Name: "pause", Version: "3.10.2", Files: one("pause")},
	}}
}

func TestReleaseMakesABundleOfDownloads(t *testing.T) {
	u := newUpstream(t)
	dir := t.TempDir()
	args := []string{"release", "--list", writeList(t, dir, u.released(t)), "--out", filepath.Join(dir, "artifacts"), "--cache", filepath.Join(dir, "cache")}
	first, err := execute(args...)
	must(t, err)
	if !strings.HasPrefix(first, bundleRepository+"@sha256:") {
		t.Errorf("printed %q, want the bundle's digest", first)
	}
	downloaded := u.requests

	second, err := execute(args...)
	must(t, err)
	if second != first || u.requests != downloaded {
		t.Errorf("a second run gave %q after %q and downloaded %d files again", second, first, u.requests-downloaded)
	}
	content, err := os.ReadFile(filepath.Join(dir, "artifacts", digestsFile))
	must(t, err)
	if digest := strings.TrimSpace(strings.TrimPrefix(first, bundleRepository+"@")); !strings.Contains(string(content), digest) {
		t.Errorf("%s is %s, want %s in it", digestsFile, content, digest)
	}
}

func TestReleaseRefuses(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func(u *upstream, list *release)
		says   string
	}{
		"AnotherContent": {"nothing is packed that is not what the list says", func(u *upstream, _ *release) { u.files["/kubelet"] = "evil" }, "digest mismatch"},
		"GoneFile":       {"the URL is what to correct", func(u *upstream, _ *release) { delete(u.files, "/runc") }, "/runc: 404"},
		"NoDigest":       {"a download without a digest proves nothing", func(_ *upstream, list *release) { list.Components[0].Files[0].SHA256 = "" }, "64 hexadecimal digits"},
		"NoMember":       {"an archive that was repacked", func(_ *upstream, list *release) { list.Components[2].Files[0].Members["bin/none"] = "bin/none" }, "no file bin/none"},
		"NoComponent":    {"a bundle is whole", func(_ *upstream, list *release) { list.Components = list.Components[1:] }, "no component kubelet"},
		"NoProgram":      {"a bundle is whole", func(_ *upstream, list *release) { list.Components[3].Files = nil }, "bin/runc"},
		"NoArchitecture": {"a node asks for its own", func(_ *upstream, list *release) { list.Architecture = "" }, "architecture"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u, dir := newUpstream(t), t.TempDir()
			list := u.released(t)
			tc.change(u, &list)
			_, err := execute("release", "--list", writeList(t, dir, list), "--out", filepath.Join(dir, "artifacts"), "--cache", filepath.Join(dir, "cache"))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: got %v, want an error that says %q", tc.reason, err, tc.says)
			}
			if _, err := os.Stat(filepath.Join(dir, "artifacts")); err == nil {
				t.Errorf("%s: something was made nonetheless", tc.reason)
			}
		})
	}
}

func writeList(t *testing.T, dir string, list release) string {
	t.Helper()
	content, err := json.Marshal(list)
	must(t, err)
	return write(t, filepath.Join(dir, "list.json"), string(content))
}
