package component

import (
	"context"
	"fmt"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/images"
	"github.com/drover-dev/drover/agent/supervise"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// pauseImage is the repository of the image that holds a pod's namespaces. It is in the bundle, never pulled.
const pauseImage = "drover.dev/pause"

// importTimeout bounds one try of importing the bundle's images; it takes a slow disk a while to take them in.
const importTimeout = 2 * time.Minute

// protectedOOMScore protects the runtime from the OOM killer as upstream's units do.
const protectedOOMScore = -999

// unusedPlugins are containerd's plugins that no node of ours uses: they cost memory and start-up time.
var unusedPlugins = []string{
	"io.containerd.differ.v1.erofs",
	"io.containerd.snapshotter.v1.blockfile",
	"io.containerd.snapshotter.v1.btrfs",
	"io.containerd.snapshotter.v1.devmapper",
	"io.containerd.snapshotter.v1.erofs",
	"io.containerd.snapshotter.v1.zfs",
	"io.containerd.tracing.processor.v1.otlp",
}

// table is a TOML table; the encoder sorts its keys.
type table = map[string]any

func addContainerd(plan *Plan, cfg Config) error {
	pause, err := cfg.pauseImage()
	if err != nil {
		return err
	}
	config, err := cfg.containerdConfig(pause)
	if err != nil {
		return err
	}
	// Mirrors are read for each pull, so they are no reason to restart.
	registries, err := cfg.registryFiles()
	if err != nil {
		return err
	}
	plan.add(registries...)
	path := cfg.Paths.config("containerd.toml")
	digest := plan.add(File{Path: path, Content: config, Mode: 0o644})
	socket, imagesDir := cfg.Paths.Socket(), cfg.Bundle.ImagesDir()
	plan.Processes = append(plan.Processes, supervise.Process{
		Name:         fleetv1.ComponentContainerd,
		Version:      cfg.Bundle.Versions["containerd"],
		Path:         cfg.Bundle.Bin("containerd"),
		Args:         []string{"--config", path},
		Env:          environment(cfg.Bundle.Bin("containerd")),
		LogFile:      cfg.Paths.log(fleetv1.ComponentContainerd),
		ConfigDigest: digest,
		OOMScoreAdj:  cfg.oomScore(),
		// Ready for the kubelet means that the pause image is there too: pods start as soon as the kubelet does.
		Ready: func(ctx context.Context) error {
			if err := answers(ctx, socket); err != nil {
				return err
			}
			return images.ImportDir(ctx, socket, imagesDir)
		},
		ReadyTimeout: importTimeout,
	})
	return nil
}

// answers asks containerd with little patience: it is asked again soon.
func answers(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, supervise.DefaultReadyTimeout)
	defer cancel()
	return health.CRIAnswers(ctx, socket)
}

// pauseImage is the name of the pause image of the bundle.
func (c *Config) pauseImage() (string, error) {
	version := c.Bundle.Versions["pause"]
	if version == "" {
		return "", fmt.Errorf("bundle %s names no version of pause: build it anew", c.Bundle.Digest)
	}
	return pauseImage + ":" + version, nil
}

// oomScore is nil where the kernel would not let us set it.
func (c *Config) oomScore() *int {
	if !c.Facts.CanRaiseOOMScore {
		return nil
	}
	score := protectedOOMScore
	return &score
}

// containerdConfig renders containerd's configuration, version 3.
func (c *Config) containerdConfig(pause string) ([]byte, error) {
	data, err := toml.Marshal(table{
		"version":          3,
		"root":             c.Paths.ContainerdRoot,
		"state":            c.Paths.ContainerdState,
		"disabled_plugins": unusedPlugins,
		"grpc":             table{"address": c.Paths.Socket()},
		"plugins": table{
			"io.containerd.cri.v1.images": table{
				"pinned_images": table{"sandbox": pause},
				"registry":      table{"config_path": c.registryDir()},
			},
			"io.containerd.cri.v1.runtime": table{
				"restrict_oom_score_adj": !c.Facts.CanRaiseOOMScore,
				// A network of the user's own puts its plugins into /opt/cni/bin.
				"cni": table{"bin_dirs": []string{c.Bundle.CNIDir(), "/opt/cni/bin"}, "conf_dir": c.Paths.CNIConfDir},
				"containerd": table{
					"default_runtime_name": "runc",
					"runtimes": table{"runc": table{
						"runtime_type": "io.containerd.runc.v2",
						"runtime_path": c.Bundle.Bin("containerd-shim-runc-v2"),
						"options": table{
							"BinaryName":    c.Bundle.Bin("runc"),
							"SystemdCgroup": c.Facts.CgroupDriver == host.CgroupDriverSystemd,
						},
					}},
				},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("render containerd's configuration: %w", err)
	}
	return data, nil
}
