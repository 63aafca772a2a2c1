package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

const downloadTimeout = 15 * time.Minute

// release lists what upstreams released for one bundle.
type release struct {
	// Architecture is Go's name for it.
	Architecture string `json:"architecture"`
	// Components are containerd, runc, cni, kubelet, kube-proxy and pause.
	Components []releasedComponent `json:"components"`
}

// releasedComponent is one component's version and downloads.
type releasedComponent struct {
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Files   []download `json:"files"`
}

// download is one released file: a program, or a tar archive (plain or gzip) that holds programs.
type download struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
	// Path is where the program belongs in the bundle: bin/kubelet, cni/bridge; "pause" for the pause program.
	Path string `json:"path,omitempty"`
	// Members are, for an archive, the paths in the bundle by the name in the archive.
	Members map[string]string `json:"members,omitempty"`
}

type releaseOptions struct{ list, out, cache string }

func newReleaseCommand() *cobra.Command {
	o := releaseOptions{}
	command := &cobra.Command{
		Use:   "release",
		Short: "Make a node bundle of upstreams' released binaries, which --list names with their SHA-256",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			digests, err := o.run(command.Context())
			if err != nil {
				return err
			}
			return digests.report(command.OutOrStdout(), o.out)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.list, "list", "", "JSON file that lists the components and their downloads")
	flags.StringVar(&o.out, "out", ".drover/artifacts", "directory of image layouts to write into")
	flags.StringVar(&o.cache, "cache", ".drover/downloads", "directory that keeps downloads, by their SHA-256")
	_ = command.MarkFlagRequired("list") // the flag exists
	return command
}

func (o *releaseOptions) run(ctx context.Context) (digests, error) {
	content, err := os.ReadFile(o.list)
	if err != nil {
		return nil, err
	}
	var list release
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("parse %s: %w", o.list, err)
	}
	unpacked, err := os.MkdirTemp("", "drover-release-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(unpacked) }()
	cache := downloads{dir: o.cache, client: &http.Client{Timeout: downloadTimeout}}
	b, err := list.bundle(ctx, cache, unpacked)
	if err != nil {
		return nil, err
	}
	digest, err := b.write(filepath.Join(o.out, bundleRepository))
	if err != nil {
		return nil, describe(bundleRepository, err)
	}
	return digests{bundleRepository: digest.String()}, nil
}

// bundle downloads everything and says what is where.
func (r *release) bundle(ctx context.Context, cache downloads, dir string) (*bundle, error) {
	b := &bundle{programs: programs{}, versions: map[string]string{}, architecture: r.Architecture}
	for _, component := range r.Components {
		b.versions[component.Name] = component.Version
		for _, file := range component.Files {
			found, err := cache.programs(ctx, file, dir)
			if err != nil {
				return nil, fmt.Errorf("get %s %s: %w", component.Name, component.Version, err)
			}
			for path, program := range found {
				b.programs[path] = program
			}
		}
	}
	b.pause = b.programs["pause"]
	return b, b.complete()
}

// complete reports what a bundle needs and a list forgot.
func (b *bundle) complete() error {
	for _, component := range slices.Concat(components, []component{{name: "pause", paths: []string{"pause"}}}) {
		if b.versions[component.name] == "" {
			return fmt.Errorf("the list names no component %s with a version", component.name)
		}
		for _, path := range component.paths {
			if b.programs[path] == "" {
				return fmt.Errorf("the list's component %s has no file for %s", component.name, path)
			}
		}
	}
	if b.architecture == "" {
		return errors.New("the list names no architecture")
	}
	return nil
}
