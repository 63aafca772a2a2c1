package revision

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// TestTheDefaultsAreThoseOfTheKind so that one that is added to a pool's template is not forgotten here, and then takes no
// existing pool for edited.
func TestTheDefaultsAreThoseOfTheKind(t *testing.T) {
	content, err := os.ReadFile("../../config/crd/fleet.drover.dev_nodepools.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kind := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(content, kind); err != nil {
		t.Fatal(err)
	}
	schema := kind.Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, field := range []string{"spec", "template", "spec"} {
		below := schema.Properties[field]
		schema = &below
	}
	found := map[string]string{}
	collect(t, found, schema, "")
	if diff := cmp.Diff(found, defaults); diff != "" {
		t.Errorf("the kind's defaults and those that are passed over (-want +got):\n%s", diff)
	}
}

// collect finds the defaults of a schema. An empty object is none: nothing is told from it.
func collect(t *testing.T, into map[string]string, schema *apiextensionsv1.JSONSchemaProps, path string) {
	t.Helper()
	if schema.Default != nil {
		var value any
		if err := json.Unmarshal(schema.Default.Raw, &value); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(raw); text != "{}" {
			into[path] = text
		}
	}
	for name, property := range schema.Properties {
		below := name
		if path != "" {
			below = path + "." + name
		}
		collect(t, into, &property, below)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		collect(t, into, schema.Items.Schema, path+"[]")
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		collect(t, into, schema.AdditionalProperties.Schema, path+"{}") // no path has that: such a default needs thought
	}
}
