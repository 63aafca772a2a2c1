package layout

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Digests name what the artifact endpoint serves: repository (bundles/kubernetes, images/hello) to digest.
type Digests map[string]string

// ReadDigests reads what was built.
func ReadDigests(l Layout) (Digests, error) {
	raw, err := os.ReadFile(l.Digests())
	if err != nil {
		return nil, fmt.Errorf("read the artifacts' digests: %w: run `make build`", err)
	}
	d := Digests{}
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("read the artifacts' digests from %s: %w: run `make build`", l.Digests(), err)
	}
	return d, nil
}

// Image is the full name, by digest, of a repository's image on the artifact endpoint.
func (d Digests) Image(repository string) (string, error) {
	digest, ok := d[repository]
	if !ok {
		return "", fmt.Errorf("no artifact %s was built: run `make build`", repository)
	}
	return Artifacts + "/" + repository + "@" + digest, nil
}

// Render replaces each ${repository} in a sample, such as ${images/hello}, by the image's full name.
func (d Digests) Render(sample string) (string, error) {
	repositories := make([]string, 0, len(d))
	for r := range d {
		repositories = append(repositories, r)
	}
	slices.Sort(repositories)
	for _, r := range repositories {
		image, err := d.Image(r)
		if err != nil {
			return "", err
		}
		sample = strings.ReplaceAll(sample, "${"+r+"}", image)
	}
	if _, rest, found := strings.Cut(sample, "${"); found {
		name, _, _ := strings.Cut(rest, "}")
		return "", fmt.Errorf("no artifact %s was built: run `make build`", name)
	}
	return sample, nil
}
