package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	agentbundle "github.com/drover-dev/drover/agent/bundle"
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
	listed       bool // its files are proved on a machine's disk, as a bundle's are
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
	config := v1.Config{Entrypoint: p.entrypoint, Cmd: p.command, User: p.user, Env: []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin"}}
	if p.listed {
		list, err := fileList([]oci.Layer{layer})
		if err != nil {
			return v1.Hash{}, err
		}
		config.Labels = map[string]string{agentbundle.FilesLabel: list}
	}
	return layout.Add(tag, oci.Image{Architecture: p.architecture, Layers: []oci.Layer{layer}, Config: config})
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
	sources               []string
	out, repository, name string
	tar                   string
}

func newImageCommand() *cobra.Command {
	o := imageOptions{program: program{compression: oci.Gzip}}
	command := &cobra.Command{
		Use:   "image --file SOURCE=PATH... --name NAME:TAG --repository REPOSITORY",
		Short: "Lay files on an empty base, as an image to serve and, with --archive, as an OCI archive",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return o.run(command) },
	}
	flags := command.Flags()
	flags.StringArrayVar(&o.sources, "file", nil, "a file and its path in the image, SOURCE=PATH; may be repeated")
	flags.StringSliceVar(&o.entrypoint, "entrypoint", nil, "the command a container runs")
	flags.StringVar(&o.user, "user", "", "user and group a container runs as, by number")
	flags.StringVar(&o.architecture, "arch", runtime.GOARCH, "architecture of the programs")
	flags.StringVar(&o.out, "out", ".drover/artifacts", "directory of image layouts to write into")
	flags.StringVar(&o.repository, "repository", "", "the repository below --out, such as images/manager")
	flags.StringVar(&o.name, "name", "", "the image's name and tag, in an archive")
	flags.BoolVar(&o.listed, "listed", false, "list the files in the image, by which an agent proves what it fetched: for a version of the agent")
	flags.StringVar(&o.tar, "archive", "", "file to write an OCI archive to, for `ctr images import` or `docker load`")
	for _, required := range []string{"file", "name", "repository"} {
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
	digest, err := o.write(o.layout(), o.name[strings.LastIndex(o.name, ":")+1:])
	if err != nil {
		return describe("image "+o.name, err)
	}
	if err := (digests{o.repository: digest.String()}).report(command.OutOrStdout(), o.out); err != nil || o.tar == "" {
		return err
	}
	return describe("archive "+o.tar, o.archive(digest))
}

func (o *imageOptions) layout() string { return filepath.Join(o.out, o.repository) }

func (o *imageOptions) archive(digest v1.Hash) error {
	layout, err := oci.OpenLayout(o.layout())
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
	return errors.Join(layout.Archive(file, digest, o.name), file.Close())
}
