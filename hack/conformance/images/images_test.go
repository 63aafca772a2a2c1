package images

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drover-dev/drover/hack/artifacts/oci"
)

func TestLibrariesAreFoundInWhatLddPrints(t *testing.T) {
	const printed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibcurl.so.4 => /lib/x86_64-linux-gnu/libcurl.so.4 (0x00007f01)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n"
	want := []string{"/lib/x86_64-linux-gnu/libcurl.so.4", "/lib64/ld-linux-x86-64.so.2"}
	if diff := cmp.Diff(want, librariesIn(printed)); diff != "" {
		t.Errorf("libraries (-want +got):\n%s", diff)
	}
}

// set has programs that are their own names.
func set(t *testing.T) Set {
	t.Helper()
	s := Set{Bin: t.TempDir(), Module: t.TempDir(), Out: t.TempDir()}
	porter := filepath.Join(s.Module, "test/images/agnhost/porter")
	if err := os.MkdirAll(porter, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.Bin + "/agnhost", s.Bin + "/nonewprivs", s.Bin + "/pause", porter + "/localhost.crt", porter + "/localhost.key"} {
		if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestAgnhostServesPauseFromItsOwnRegistry(t *testing.T) {
	made, err := set(t).images()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]oci.File{}
	for _, file := range made["agnhost"].files {
		files[file.Path] = file
	}
	digest, err := v1.NewHash(string(files["var/registry/pause/manifests/testing"].Content))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := v1.ParseManifest(strings.NewReader(string(files[blob("var/registry/pause/manifests", digest)].Content)))
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range append(manifest.Layers, manifest.Config) {
		if got := len(files[blob("var/registry/pause/blobs", descriptor.Digest)].Content); int64(got) != descriptor.Size {
			t.Errorf("the registry has %d bytes of %s, want %d", got, descriptor.Digest, descriptor.Size)
		}
	}
}

func TestNonewprivsMayBecomeRoot(t *testing.T) {
	made, err := set(t).images()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(made["nonewprivs"].files, func(f oci.File) bool { return f.Path == "usr/local/bin/nnp" })
	if at < 0 || made["nonewprivs"].files[at].Mode&fs.ModeSetuid == 0 {
		t.Errorf("nnp is not setuid, which is what its tests are about: %+v", made["nonewprivs"].files)
	}
}

func TestWhatThePicturesServeIsTheirOwn(t *testing.T) {
	made, err := set(t).images()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kitten", "nautilus"} {
		var paths []string
		for _, file := range made[name].files {
			paths = append(paths, file.Path)
		}
		if diff := cmp.Diff([]string{"agnhost", "agnhost-2", name + ".jpg", "data.json"}, paths); diff != "" {
			t.Errorf("files of %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAnImageThatNothingStandsInForIsNamed(t *testing.T) {
	err := set(t).Write(t.Context(), []string{"registry.k8s.io/e2e-test-images/perl:5.26"})
	if err == nil || !strings.Contains(err.Error(), "perl:5.26") {
		t.Errorf("Write = %v, want an error that names the image", err)
	}
}
