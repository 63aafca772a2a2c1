package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	agentbundle "github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// pauseName is the image name under which a node's runtime knows the pause program; nothing is ever pulled from there.
const pauseName = "drover.dev/pause"

// nodeProgram is the one file that the kubelet and kube-proxy are names of, when they are one program.
const nodeProgram = "bin/kube-node"

// bundle is a node bundle to make.
type bundle struct {
	programs     programs
	versions     map[string]string // by component, pause among them
	pause        string            // the pause program
	architecture string
}

// write makes the bundle's image in a layout, tagged with the Kubernetes version.
func (b *bundle) write(dir string) (v1.Hash, error) {
	layout, err := oci.OpenLayout(dir)
	if err != nil {
		return v1.Hash{}, err
	}
	contents, err := b.layers()
	if err != nil {
		return v1.Hash{}, err
	}
	layers := make([]oci.Layer, len(contents))
	var group errgroup.Group
	for i, files := range contents {
		group.Go(func() (err error) {
			layers[i], err = layout.AddLayer(files, oci.Zstd)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return v1.Hash{}, err
	}
	list, err := fileList(layers)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := prove(layout, layers, list); err != nil {
		return v1.Hash{}, fmt.Errorf("prove the bundle: %w", err)
	}
	return layout.Add(b.versions["kubelet"], oci.Image{
		Architecture: b.architecture,
		Layers:       layers,
		Config:       v1.Config{Labels: map[string]string{agentbundle.FilesLabel: list}},
		Annotations:  b.annotations(),
	})
}

// layers are the files of each layer, in the order of the layers.
func (b *bundle) layers() ([][]oci.File, error) {
	files := map[string][]oci.File{}
	for _, component := range components {
		for _, path := range component.paths {
			files[component.layer] = append(files[component.layer], oci.File{Path: path, Source: b.programs[path]})
		}
	}
	if kubelet := b.programs["bin/kubelet"]; sameFile(kubelet, b.programs["bin/kube-proxy"]) {
		files[nodeLayer] = []oci.File{{Path: nodeProgram, Source: kubelet},
			{Path: "bin/kubelet", HardLink: nodeProgram}, {Path: "bin/kube-proxy", HardLink: nodeProgram}}
	}
	archive, err := b.pauseArchive()
	if err != nil {
		return nil, fmt.Errorf("make the pause image: %w", err)
	}
	files[imagesLayer] = []oci.File{{Path: "images/pause.tar", Mode: 0o644, Content: archive}}
	versions, err := json.MarshalIndent(b.versions, "", "  ")
	if err != nil {
		return nil, err
	}
	files[nodeLayer] = append(files[nodeLayer], oci.File{Path: "versions.json", Mode: 0o644, Content: append(versions, '\n')})
	return [][]oci.File{files[runtimeLayer], files[cniLayer], files[imagesLayer], files[nodeLayer]}, nil
}

// pauseArchive is the pause image as an OCI archive, for nodes to import before they start a pod.
func (b *bundle) pauseArchive() ([]byte, error) {
	dir, err := os.MkdirTemp("", "drover-pause-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	image := program{architecture: b.architecture, compression: oci.Gzip, files: []oci.File{{Path: "pause", Source: b.pause}}, entrypoint: []string{"/pause"}}
	layoutDir := filepath.Join(dir, "pause")
	digest, err := image.write(layoutDir, b.versions["pause"])
	if err != nil {
		return nil, err
	}
	layout, err := oci.OpenLayout(layoutDir)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	err = layout.Archive(&archive, digest, pauseName+":"+b.versions["pause"])
	return archive.Bytes(), err
}

func (b *bundle) annotations() map[string]string {
	annotations := map[string]string{}
	for component, version := range b.versions {
		annotations[agentbundle.VersionAnnotation+component] = version
	}
	return annotations
}

// fileList is what the agent proves the files on disk with.
func fileList(layers []oci.Layer) (string, error) {
	var list []agentbundle.File
	for _, layer := range layers {
		for _, entry := range layer.Entries {
			list = append(list, listed(entry))
		}
	}
	slices.SortFunc(list, func(a, b agentbundle.File) int { return cmp.Compare(a.Path, b.Path) })
	content, err := json.Marshal(list)
	return string(content), err
}
