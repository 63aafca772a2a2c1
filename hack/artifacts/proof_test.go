package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	agentbundle "github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/hack/artifacts/oci"
)

func TestABundlesListIsProvedByItsLayers(t *testing.T) {
	for _, linked := range []bool{true, false} {
		dir := t.TempDir()
		digest, err := testBundle(t, linked).write(dir)
		must(t, err)
		img, err := imageOf(dir, digest)
		must(t, err)
		manifest, err := img.Manifest()
		must(t, err)
		config, err := img.ConfigFile()
		must(t, err)
		layout, err := oci.OpenLayout(dir)
		must(t, err)
		var layers []oci.Layer
		for _, descriptor := range manifest.Layers {
			layers = append(layers, oci.Layer{Descriptor: descriptor})
		}
		list := config.Config.Labels[agentbundle.FilesLabel]
		if err := prove(layout, layers, list); err != nil {
			t.Errorf("of a bundle as it was built: %v", err)
		}

		for what, test := range map[string]struct {
			harm func([]agentbundle.File) []agentbundle.File
			want string
		}{
			"another digest": {func(f []agentbundle.File) []agentbundle.File { f[0].SHA256 = sum("another"); return f }, "the list of files has"},
			"another size":   {func(f []agentbundle.File) []agentbundle.File { f[1].Size++; return f }, "the list of files has"},
			"another mode":   {func(f []agentbundle.File) []agentbundle.File { f[2].Mode = 0o700; return f }, "the list of files has"},
			"another name":   {func(f []agentbundle.File) []agentbundle.File { f[3].Path += "-2"; return f }, "which no layer holds"},
			"one less":       {func(f []agentbundle.File) []agentbundle.File { return f[1:] }, "which the list of files does not name"},
			"one twice":      {func(f []agentbundle.File) []agentbundle.File { return append(f, f[0]) }, "or names it twice"},
		} {
			var files []agentbundle.File
			must(t, json.Unmarshal([]byte(list), &files))
			harmed, err := json.Marshal(test.harm(files))
			must(t, err)
			if err := prove(layout, layers, string(harmed)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("of a list with %s: %v, want it refused as %q", what, err, test.want)
			}
		}
		for what, harmed := range map[string][]oci.Layer{"a layer less": layers[1:], "a layer twice": append(slices.Clone(layers), layers[0])} {
			if err := prove(layout, harmed, list); err == nil {
				t.Errorf("with %s, the list is taken for proved", what)
			}
		}
	}
}
