package images

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// Set is where images are made from and go.
type Set struct {
	// Bin holds agnhost, etcd, nonewprivs, pause and sample-apiserver.
	Bin string
	// Module is the directory of Kubernetes' module.
	Module string
	// Out gets one image layout for each image.
	Out string
}

// image is one to make: what it holds above the base, and how it runs.
type image struct {
	bare   bool
	files  []oci.File
	config v1.Config
}

// Write makes an image for each name, such as registry.k8s.io/e2e-test-images/agnhost:2.63.0.
func (s Set) Write(ctx context.Context, names []string) error {
	made, err := s.images()
	if err != nil {
		return err
	}
	for _, name := range names {
		repository, _ := split(name)
		if _, known := made[repository]; !known {
			return fmt.Errorf("the suite uses %s, and nothing here stands in for it: say in hack/conformance/images what does", name)
		}
	}
	below, err := base(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		repository, tag := split(name)
		image := made[repository]
		if !image.bare {
			image.files = slices.Concat(below, image.files)
		}
		if _, err := image.write(filepath.Join(s.Out, repository), tag); err != nil {
			return fmt.Errorf("make an image for %s: %w", name, err)
		}
	}
	return nil
}

// split takes the last part of an image's name and its tag.
func split(name string) (repository, tag string) {
	repository, tag, _ = strings.Cut(path.Base(name), ":")
	return repository, tag
}

// images are the stand-ins, by the last part of their names.
func (s Set) images() (map[string]image, error) {
	bin := func(name string) string { return filepath.Join(s.Bin, name) }
	pause := image{bare: true, files: []oci.File{{Path: "pause", Source: bin("pause")}}, config: v1.Config{User: "65535:65535", Entrypoint: []string{"/pause"}}}
	registry, err := privateRegistry(pause)
	if err != nil {
		return nil, err
	}
	tests := filepath.Join(s.Module, "test/images")
	porter := filepath.Join(tests, "agnhost/porter")
	agnhost := []oci.File{{Path: "agnhost", Source: bin("agnhost")}, {Path: "agnhost-2", HardLink: "agnhost"}}
	// A picture and what to say of it, for the tests that roll from one to the other.
	pictures := func(name string) image {
		html := filepath.Join(tests, name, "html")
		return image{
			files: append(slices.Clone(agnhost),
				oci.File{Path: name + ".jpg", Mode: 0o644, Source: filepath.Join(html, name+".jpg")},
				oci.File{Path: "data.json", Mode: 0o644, Source: filepath.Join(html, "data.json")}),
			config: v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"test-webserver"}},
		}
	}
	shell := v1.Config{Cmd: []string{"sh"}}
	return map[string]image{
		"pause":             pause,
		"busybox":           {config: shell},
		"glibc-dns-testing": {config: shell},
		"kitten":            pictures("kitten"),
		"nautilus":          pictures("nautilus"),
		"nginx":             {config: v1.Config{Cmd: []string{"httpd", "-f"}}},
		"nonroot":           {config: v1.Config{Cmd: []string{"sh"}, User: "1234"}},
		"etcd":              {files: []oci.File{{Path: "usr/local/bin/etcd", Source: bin("etcd")}}, config: v1.Config{Cmd: []string{"etcd"}}},
		"sample-apiserver": {
			files:  []oci.File{{Path: "sample-apiserver", Source: bin("sample-apiserver")}},
			config: v1.Config{Entrypoint: []string{"/sample-apiserver"}},
		},
		"nonewprivs": {
			files:  []oci.File{{Path: "usr/local/bin/nnp", Source: bin("nonewprivs"), Mode: fs.ModeSetuid | fs.ModeSetgid | 0o755}},
			config: v1.Config{Cmd: []string{"nnp"}},
		},
		"agnhost": {
			files: slices.Concat(registry, agnhost, []oci.File{
				{Path: "uploads", Mode: fs.ModeDir | 0o755},
				{Path: "localhost.crt", Mode: 0o644, Source: filepath.Join(porter, "localhost.crt")},
				{Path: "localhost.key", Mode: 0o644, Source: filepath.Join(porter, "localhost.key")},
			}),
			config: v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
		},
	}, nil
}

func (i image) write(dir, tag string) (v1.Hash, error) {
	layout, err := oci.OpenLayout(dir)
	if err != nil {
		return v1.Hash{}, err
	}
	layer, err := layout.AddLayer(i.files, oci.Gzip)
	if err != nil {
		return v1.Hash{}, err
	}
	i.config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return layout.Add(tag, oci.Image{Architecture: runtime.GOARCH, Layers: []oci.Layer{layer}, Config: i.config})
}
