package revision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

// prefix2 is what a hash of the second way begins with. One of the first has 64 hexadecimal digits and nothing else.
const prefix2 = "2:"

// hash2 is of what the user wrote in a pool's template. Labels and taints are not in it: they are patched onto Nodes live.
// The pool's UID is, so that a pool made again under its old name has revisions of its own. What the names stand for is
// compared apart.
func hash2(pool *v1alpha1.NodePool) (string, error) {
	spec := pool.Spec.Template.Spec
	settings, err := written(spec.NodeSettings)
	if err != nil {
		return "", err
	}
	sum, err := sumOf(withAgent(spec.Agent, map[string]any{
		"poolUID": string(pool.UID), "version": spec.Version, "infrastructureRef": spec.InfrastructureRef, "settings": settings,
	}))
	return prefix2 + sum, err
}

// hash1 is the first way: with the images of the bundle as they were named then, and with the two defaults that there were.
// A later default is no part of it, as it was none then.
func hash1(pool *v1alpha1.NodePool, artifacts []v1alpha1.Artifact) (string, error) {
	spec := pool.Spec.Template.Spec
	settings, err := written(spec.NodeSettings)
	if err != nil {
		return "", err
	}
	for field, mode := range map[string]string{"proxy": string(v1alpha1.ProxyModeNFTables), "network": string(v1alpha1.NetworkModeRoutes)} {
		section, ok := settings[field].(map[string]any)
		if !ok {
			section = map[string]any{}
			settings[field] = section
		}
		if _, ok := section["mode"]; !ok {
			section["mode"] = mode
		}
	}
	return sumOf(withAgent(spec.Agent, map[string]any{
		"poolUID": string(pool.UID), "version": spec.Version, "infrastructureRef": spec.InfrastructureRef, "settings": settings,
		"artifacts": desired.Sorted(artifacts),
	}))
}

// withAgent adds the version of the agent where the template names one: templates that name none have the hash that they had before
// there was such a field.
func withAgent(release *v1alpha1.AgentRelease, content map[string]any) map[string]any {
	if release != nil {
		content["agent"] = desired.Release(release)
	}
	return content
}

// written are settings as the user wrote them: without those that have their defaults.
func written(settings v1alpha1.NodeSettings) (map[string]any, error) {
	raw, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("hash the template: %w", err)
	}
	object := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("hash the template: %w", err)
	}
	return object, strip(object, "")
}

// strip removes what has the default of its path, and what is empty then.
func strip(object map[string]any, path string) error {
	for key, value := range object {
		below := strings.TrimPrefix(path+"."+key, ".")
		if err := stripBelow(value, below); err != nil {
			return err
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("hash the template: %w", err)
		}
		if text := string(raw); text == defaults[below] || text == "{}" {
			delete(object, key)
		}
	}
	return nil
}

func stripBelow(value any, path string) error {
	switch value := value.(type) {
	case map[string]any:
		return strip(value, path)
	case []any:
		for _, item := range value {
			if err := stripBelow(item, path+"[]"); err != nil {
				return err
			}
		}
	}
	return nil
}

// sumOf hashes a value by its JSON, with all keys sorted, so that fields may move within our Go types.
func sumOf(value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("hash the template: %w", err)
	}
	var sorted any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&sorted); err != nil {
		return "", fmt.Errorf("hash the template: %w", err)
	}
	if raw, err = json.Marshal(sorted); err != nil {
		return "", fmt.Errorf("hash the template: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}
