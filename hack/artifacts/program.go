package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// program is an image of static programs on an empty base.
type program struct {
	architecture string
	compression  oci.Compression
	files        []oci.File
	busybox      string // a busybox to lay out with a link for each of its tools
	entrypoint   []string
	command      []string
	user         string
}

func (p program) write(dir, tag string) (v1.Hash, error) {
	files := p.files
	if p.busybox != "" {
		tools, err := busyboxFiles(p.busybox)
		if err != nil {
			return v1.Hash{}, err
		}
		files = append(files, tools...)
	}
	layout, err := oci.OpenLayout(dir)
	if err != nil {
		return v1.Hash{}, err
	}
	layer, err := layout.AddLayer(files, p.compression)
	if err != nil {
		return v1.Hash{}, err
	}
	return layout.Add(tag, oci.Image{Architecture: p.architecture, Layers: []oci.Layer{layer}, Config: v1.Config{
		Entrypoint: p.entrypoint, Cmd: p.command, User: p.user, Env: []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin"},
	}})
}

// busyboxFiles are busybox and a link to it for each tool it says it has, and what a shell expects to be there.
func busyboxFiles(busybox string) ([]oci.File, error) {
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tools of %s: %w: install busybox-static", busybox, err)
	}
	files := []oci.File{
		{Path: "bin/busybox", Source: busybox},
		{Path: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{Path: "tmp/.keep", Mode: 0o644},
	}
	for _, tool := range strings.Fields(string(list)) {
		if tool != "busybox" {
			files = append(files, oci.File{Path: "bin/" + tool, HardLink: "bin/busybox"})
		}
	}
	return files, nil
}

type imageOptions struct {
	program
	sources          []string
	layout, tag, tar string
}

func newImageCommand() *cobra.Command {
	o := imageOptions{program: program{compression: oci.Gzip}}
	command := &cobra.Command{
		Use:   "image --file SOURCE=PATH... --name NAME:TAG",
		Short: "Lay files on an empty base, as an image in a layout and, with --archive, as an OCI archive",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return o.run(command) },
	}
	flags := command.Flags()
	flags.StringArrayVar(&o.sources, "file", nil, "a file and its path in the image, SOURCE=PATH; may be repeated")
	flags.StringSliceVar(&o.entrypoint, "entrypoint", nil, "the command a container runs")
	flags.StringVar(&o.user, "user", "", "user and group a container runs as, by number")
	flags.StringVar(&o.architecture, "arch", runtime.GOARCH, "architecture of the programs")
	flags.StringVar(&o.layout, "layout", "", "directory of the image layout to add it to")
	flags.StringVar(&o.tag, "name", "", "the image's name and tag")
	flags.StringVar(&o.tar, "archive", "", "file to write an OCI archive to, for `ctr images import` or `docker load`")
	for _, required := range []string{"file", "name", "layout"} {
		_ = command.MarkFlagRequired(required) // the flags exist
	}
	return command
}

func (o *imageOptions) run(command *cobra.Command) error {
	for _, pair := range o.sources {
		source, path, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("--file %s: want SOURCE=PATH", pair)
		}
		o.files = append(o.files, oci.File{Path: strings.TrimPrefix(path, "/"), Source: source})
	}
	digest, err := o.write(o.layout, o.tag[strings.LastIndex(o.tag, ":")+1:])
	if err != nil {
		return describe("image "+o.tag, err)
	}
	if _, err := fmt.Fprintln(command.OutOrStdout(), digest); err != nil || o.tar == "" {
		return err
	}
	return o.archive(digest)
}

func (o *imageOptions) archive(digest v1.Hash) error {
	layout, err := oci.OpenLayout(o.layout)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.tar), 0o755); err != nil {
		return err
	}
	file, err := os.Create(o.tar)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := layout.Archive(file, digest, o.tag); err != nil {
		return err
	}
	return file.Close()
}
