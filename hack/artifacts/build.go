package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// The repositories that the artifact endpoint serves. DESIGN: names and defaults.
const (
	bundleRepository = "bundles/kubernetes"
	agentRepository  = "agent"
	imagePrefix      = "images/"
	developmentTag   = "dev"
)

type buildOptions struct {
	bin, out, pause, pauseVersion, busybox string
	architecture                           string
}

func newBuildCommand() *cobra.Command {
	o := buildOptions{}
	command := &cobra.Command{
		Use:   "build",
		Short: "Make the node bundle, the agent's artifact and the demo images of the programs in --bin",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			digests, err := o.run()
			if err != nil {
				return err
			}
			return digests.report(command.OutOrStdout(), o.out)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.bin, "bin", ".drover/bin", "directory of the programs")
	flags.StringVar(&o.out, "out", ".drover/artifacts", "directory of image layouts to write into, one for each repository")
	flags.StringVar(&o.pause, "pause", "", "the pause program (default: pause in --bin)")
	flags.StringVar(&o.pauseVersion, "pause-version", "", "version of the pause program")
	flags.StringVar(&o.busybox, "busybox", "/bin/busybox", "a static busybox; empty makes no such image")
	flags.StringVar(&o.architecture, "arch", runtime.GOARCH, "architecture of the programs")
	_ = command.MarkFlagRequired("pause-version") // the flag exists
	return command
}

func (o *buildOptions) run() (digests, error) {
	pause := cmp.Or(o.pause, filepath.Join(o.bin, "pause"))
	programs := fromDirectories(o.bin, o.bin)
	versions, err := programs.versions()
	if err != nil {
		return nil, err
	}
	versions["pause"] = o.pauseVersion
	made := newDigests()
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0)) // compression is what takes the time
	group.Go(func() error {
		b := bundle{programs: programs, versions: versions, pause: pause, architecture: o.architecture}
		digest, err := b.write(filepath.Join(o.out, bundleRepository))
		return made.set(bundleRepository, digest, err)
	})
	for repository, image := range o.images(pause) {
		group.Go(func() error {
			digest, err := image.write(filepath.Join(o.out, repository), developmentTag)
			return made.set(repository, digest, err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return made.all, nil
}

// images are the images of one program each, by repository.
func (o *buildOptions) images(pause string) map[string]program {
	bin := func(name string) string { return filepath.Join(o.bin, name) }
	one := func(name, source string) program {
		return program{architecture: o.architecture, compression: oci.Gzip, files: []oci.File{{Path: name, Source: source}}, entrypoint: []string{"/" + name}}
	}
	agent := one("drover-agent", bin("drover-agent"))
	agent.compression, agent.listed = oci.Zstd, true
	images := map[string]program{
		agentRepository:         agent,
		imagePrefix + "pause":   one("pause", pause),
		imagePrefix + "hello":   one("hello", bin("hello")),
		imagePrefix + "coredns": one("coredns", bin("coredns")),
	}
	if o.busybox != "" {
		images[imagePrefix+"busybox"] = program{architecture: o.architecture, compression: oci.Gzip, busybox: o.busybox, command: []string{"/bin/sh"}}
	}
	return images
}

func describe(what string, err error) error {
	if err != nil {
		return fmt.Errorf("make %s: %w", what, err)
	}
	return nil
}
