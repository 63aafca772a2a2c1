package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func execute(args ...string) (string, error) {
	var out bytes.Buffer
	command := newCommand()
	command.SetArgs(args)
	command.SetOut(&out)
	err := command.Execute()
	return out.String(), err
}

func TestImageLaysFilesOnAnEmptyBase(t *testing.T) {
	dir := t.TempDir()
	manager, agent := write(t, filepath.Join(dir, "manager"), "manager"), write(t, filepath.Join(dir, "agent"), "agent")
	artifacts, archive := filepath.Join(dir, "artifacts"), filepath.Join(dir, "dist/manager.tar")
	out, err := execute("image", "--out", artifacts, "--repository", "images/manager", "--name", "drover.dev/manager:v0.1.0", "--archive", archive, "--user", "65532:65532",
		"--entrypoint", "/manager", "--file", manager+"=/manager", "--file", agent+"=/opt/drover-agent")
	must(t, err)

	digest, err := v1.NewHash(strings.TrimSpace(strings.TrimPrefix(out, "images/manager@")))
	must(t, err)
	img, err := imageOf(filepath.Join(artifacts, "images/manager"), digest)
	must(t, errors.Join(err, validate.Image(img)))
	config, err := img.ConfigFile()
	must(t, err)
	if config.Config.User != "65532:65532" || !cmp.Equal(config.Config.Entrypoint, []string{"/manager"}) {
		t.Errorf("the config is %+v", config.Config)
	}
	want := map[string]string{"manager": "manager", "opt": "", "opt/drover-agent": "agent"}
	files := mutate.Extract(img)
	defer func() { _ = files.Close() }()
	if diff := cmp.Diff(want, contents(t, files)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	file, err := os.Open(archive)
	must(t, err)
	defer func() { _ = file.Close() }()
	if index := contents(t, file)["index.json"]; !strings.Contains(index, `"io.containerd.image.name":"drover.dev/manager:v0.1.0"`) || !strings.Contains(index, digest.String()) {
		t.Errorf("the archive's index is %s", index)
	}
}

func TestBusyboxHasALinkForEachTool(t *testing.T) {
	busybox := write(t, filepath.Join(t.TempDir(), "busybox"), "#!/bin/sh\necho 'busybox\nls\nsh'\n")
	dir := t.TempDir()
	digest, err := program{architecture: "amd64", compression: "application/vnd.oci.image.layer.v1.tar+gzip", busybox: busybox}.write(dir, "dev")
	must(t, err)
	img, err := imageOf(dir, digest)
	must(t, err)
	files := mutate.Extract(img)
	defer func() { _ = files.Close() }()
	got := contents(t, files)
	for _, name := range []string{"bin/busybox", "bin/ls", "bin/sh", "etc/passwd", "tmp"} {
		if _, ok := got[name]; !ok {
			t.Errorf("the image has no %s", name)
		}
	}
}

// contents maps the entries of a tar to their content; a hard link and a directory have none.
func contents(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	found := map[string]string{}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		must(t, err)
		content, err := io.ReadAll(reader)
		must(t, err)
		found[header.Name] = string(content)
	}
}
