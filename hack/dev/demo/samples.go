package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/layout"
)

// renderSamples puts the digests of what was built into config/samples, writes the result to .drover/samples for
// the user to apply by hand, and returns the objects by the file's name.
func renderSamples(l layout.Layout) (map[string][]*unstructured.Unstructured, error) {
	digests, err := layout.ReadDigests(l)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(l.Config("samples"), "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("find the samples: %w", err)
	}
	if err := os.MkdirAll(l.Samples(), 0o755); err != nil {
		return nil, fmt.Errorf("render the samples: %w", err)
	}
	samples := map[string][]*unstructured.Unstructured{}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "kustomization.yaml" {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("render the samples: %w", err)
		}
		text, err := digests.Render(string(raw))
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", file, err)
		}
		if err := os.WriteFile(filepath.Join(l.Samples(), name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("render the samples: %w", err)
		}
		if samples[strings.TrimSuffix(name, ".yaml")], err = install.Parse([]byte(text)); err != nil {
			return nil, fmt.Errorf("render %s: %w", file, err)
		}
	}
	return samples, nil
}
