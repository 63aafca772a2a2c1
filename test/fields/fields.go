// Package fields tells who wrote what of an object, as its managed fields have it. Tests show by it that a controller keeps its
// hands off what users have in Git.
package fields

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Of are the fields of an object that each writer has, as sorted paths, such as /f:spec/f:replicas. What somebody wrote through a
// subresource is the subresource's name alone, such as status.
func Of(object client.Object) (map[string][]string, error) {
	all := map[string][]string{}
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource != "" {
			all[entry.Manager] = append(all[entry.Manager], entry.Subresource)
			continue
		}
		tree := map[string]any{}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &tree); err != nil {
			return nil, fmt.Errorf("read the managed fields of %s: %w", object.GetName(), err)
		}
		all[entry.Manager] = append(all[entry.Manager], leaves("", tree)...)
	}
	for _, paths := range all {
		slices.Sort(paths)
	}
	return all, nil
}

// leaves are the paths of a tree of managed fields that have nothing below them. The key "." is the field itself.
func leaves(path string, tree map[string]any) (all []string) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		below, _ := tree[key].(map[string]any)
		switch {
		case key == ".":
		case len(below) == 0:
			all = append(all, path+"/"+key)
		default:
			all = append(all, leaves(path+"/"+key, below)...)
		}
	}
	return all
}
