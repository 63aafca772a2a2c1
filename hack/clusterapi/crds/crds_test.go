package crds

import (
	"strings"
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestLoadServesOneVersionWithoutConversion(t *testing.T) {
	loaded, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) != len(plurals) {
		t.Fatalf("got %d definitions, want %d", len(loaded), len(plurals))
	}
	for _, crd := range loaded {
		if got := crd.Labels[v1alpha1.ManagedLabel]; got != "true" {
			t.Errorf("%s: label %s is %q, want true: the manager would refuse it as somebody else's", crd.Name, v1alpha1.ManagedLabel, got)
		}
		if len(crd.Spec.Versions) != 1 || crd.Spec.Versions[0].Name != "v1beta2" || !crd.Spec.Versions[0].Storage {
			t.Errorf("%s: want v1beta2 alone, served and stored", crd.Name)
		}
		if crd.Spec.Conversion != nil {
			t.Errorf("%s: has a conversion, which would need a webhook", crd.Name)
		}
	}
}

func TestRenderRoundTrips(t *testing.T) {
	loaded, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := Render(loaded)
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(strings.TrimPrefix(string(rendered), "---\n"), "\n---\n")
	if len(documents) != len(loaded) {
		t.Fatalf("got %d documents, want %d", len(documents), len(loaded))
	}
	for i, document := range documents {
		crd, err := narrow([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if crd.Name != loaded[i].Name {
			t.Errorf("document %d is %s, want %s", i, crd.Name, loaded[i].Name)
		}
	}
}

func TestNarrowRefusesAnUnknownClusterAPI(t *testing.T) {
	crd := `{"apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": "machines.cluster.x-k8s.io"}, "spec": {"versions": [{"name": "v1"}]}}`
	if _, err := narrow([]byte(crd)); err == nil || !strings.Contains(err.Error(), "no version v1beta2") {
		t.Errorf("got %v, want an error about the missing version", err)
	}
}
