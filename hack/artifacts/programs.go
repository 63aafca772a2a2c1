package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
)

// component is one upstream's share of a bundle.
type component struct {
	name   string
	module string   // whose version is the component's
	layer  string   // the layer it is in
	paths  []string // in the bundle; the first is asked for its version
}

// The layers, from what changes least often to what changes most often, so that an upgrade downloads little.
const (
	runtimeLayer = "runtime"
	cniLayer     = "cni"
	imagesLayer  = "images"
	nodeLayer    = "node"
)

const kubernetesModule = "k8s.io/kubernetes"

var components = []component{
	{name: "containerd", module: "github.com/containerd/containerd/v2", layer: runtimeLayer, paths: []string{"bin/containerd", "bin/containerd-shim-runc-v2"}},
	{name: "runc", module: "github.com/opencontainers/runc", layer: runtimeLayer, paths: []string{"bin/runc"}},
	{name: "cni", module: "github.com/containernetworking/plugins", layer: cniLayer, paths: []string{"cni/bridge", "cni/host-local", "cni/loopback", "cni/portmap"}},
	{name: "kubelet", module: kubernetesModule, layer: nodeLayer, paths: []string{"bin/kubelet"}},
	{name: "kube-proxy", module: kubernetesModule, layer: nodeLayer, paths: []string{"bin/kube-proxy"}},
}

// programs maps a path in the bundle to the file on disk.
type programs map[string]string

// fromDirectories takes all programs by name, Kubernetes' from a directory of their own: it is what bundles differ in.
func fromDirectories(bin, kubernetes string) programs {
	found := programs{}
	for _, component := range components {
		dir := bin
		if component.module == kubernetesModule {
			dir = kubernetes
		}
		for _, path := range component.paths {
			found[path] = filepath.Join(dir, filepath.Base(path))
		}
	}
	return found
}

// versions reads each component's version from what the Go linker left in its program.
func (p programs) versions() (map[string]string, error) {
	versions := map[string]string{}
	for _, component := range components {
		program := p[component.paths[0]]
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, fmt.Errorf("read the version of %s: %w: build it with `make upstream`", program, err)
		}
		version := versionOf(info, component.module)
		if version == "" {
			return nil, fmt.Errorf("%s was not built from %s", program, component.module)
		}
		versions[component.name] = version
	}
	return versions, nil
}

func versionOf(info *debug.BuildInfo, module string) string {
	for _, dependency := range slices.Concat(info.Deps, []*debug.Module{&info.Main}) {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return ""
}

// sameFile says whether two programs are one, as the kubelet and kube-proxy of a multi-call binary are.
func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
