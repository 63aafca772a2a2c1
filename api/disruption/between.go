package disruption

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Between is what becomes of a node that goes from one desired state to another, a change for each field, in the order of the
// API. A field without a row, as of a later release, is taken for one that needs a drain.
func Between(from, to *v1alpha1.NodeAgentSpec) []Change {
	var changes []Change
	for _, field := range differing("", reflect.ValueOf(*from), reflect.ValueOf(*to)) {
		changes = append(changes, change(field, from, to))
	}
	return changes
}

// differing are the paths of the fields that differ, down to those that have a row.
func differing(path string, from, to reflect.Value) []string {
	if equality.Semantic.DeepEqual(from.Interface(), to.Interface()) {
		return nil
	}
	if _, found := Of(path); found || !nested(from.Type()) {
		return []string{path}
	}
	var paths []string
	for i := range from.NumField() {
		paths = append(paths, differing(below(path, from.Type().Field(i)), from.Field(i), to.Field(i))...)
	}
	return paths
}

// nested says whether a type's fields are fields of the API of their own, and not a value such as a quantity.
func nested(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[v1alpha1.NodeAgentSpec]().PkgPath()
}

// below is the path of a field, as it is spelled in JSON.
func below(path string, field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "" || path == "" {
		return cmp.Or(name, path)
	}
	return path + "." + name
}

func change(field string, from, to *v1alpha1.NodeAgentSpec) Change {
	row, found := Of(field)
	if !found {
		row = Row{field, Drain, all, "this release does not know the field"}
	}
	c := Change{Field: field, Class: row.Class, Message: row.Message}
	components := row.Components
	switch field {
	case "version":
		c.Class, c.Message = OfVersions(from.Version, to.Version)
	case "artifacts":
		c.ByContent = true
		if !anotherBundle(from.Artifacts, to.Artifacts) {
			c.Class, c.ByContent, components = None, false, nil
			c.Message = "the bundle of each architecture is the same, wherever it comes from"
		}
	case ComponentAgent:
		if !anotherAgent(from.Agent, to.Agent) {
			c.Class, components = None, nil
			c.Message = "the agent stays the one that there is"
		}
	}
	for _, name := range components {
		runs := name != v1alpha1.ComponentKubeProxy || from.Proxy.Mode != v1alpha1.ProxyModeNone || to.Proxy.Mode != v1alpha1.ProxyModeNone
		if runs {
			c.Components = append(c.Components, name)
		}
	}
	return c
}

// OfVersions tells a patch version, up or down, from what a kubelet is to be drained for: another minor version, or one that is none.
func OfVersions(from, to string) (Class, string) {
	f, err := version.ParseSemantic(from)
	if err != nil {
		return Drain, fmt.Sprintf("%q is no version to compare with", from)
	}
	t, err := version.ParseSemantic(to)
	if err != nil {
		return Drain, fmt.Sprintf("%q is no version to compare with", to)
	}
	if f.Major() != t.Major() || f.Minor() != t.Minor() {
		return Drain, fmt.Sprintf("%s is another minor version than %s, which the kubelet of a drained node is changed to", to, from)
	}
	return Restart, fmt.Sprintf("%s is another patch version than %s: pods stay", to, from)
}

// anotherAgent says whether a node whose agent is the first is to have another program for its agent. Without one named it keeps its own.
func anotherAgent(from, to *v1alpha1.AgentRelease) bool {
	if from == nil || to == nil {
		return to != nil
	}
	return anotherBundle(from.Artifacts, to.Artifacts)
}

// anotherBundle says whether an architecture that both know has another bundle. One that is new, or went, is no machine's that is there.
func anotherBundle(from, to []v1alpha1.Artifact) bool {
	for _, f := range from {
		i := slices.IndexFunc(to, func(t v1alpha1.Artifact) bool { return t.Architecture == f.Architecture })
		if i >= 0 && digest(f.Image) != digest(to[i].Image) {
			return true
		}
	}
	return false
}

// digest is what an image's name ends with, or the whole name where that is none by digest.
func digest(image string) string {
	if _, digest, found := strings.Cut(image, "@"); found {
		return digest
	}
	return image
}
