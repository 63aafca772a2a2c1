package crds

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	module  = "sigs.k8s.io/cluster-api"
	group   = "cluster.x-k8s.io"
	version = "v1beta2"
)

// plurals are the kinds that Cluster API's cluster and machine reconcilers read or watch. Of these Drover itself only
// makes Clusters and Machines.
var plurals = []string{
	"clusters", "machines", "machinesets", "machinedeployments", "machinedrainrules", "machinehealthchecks",
}

// Load reads the definitions from the module that the go.mod above dir pins. It runs the go command.
func Load(dir string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	moduleDir, err := moduleDirectory(dir)
	if err != nil {
		return nil, err
	}
	loaded := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(plurals))
	for _, plural := range plurals {
		path := filepath.Join(moduleDir, "core", "config", "crd", "bases", group+"_"+plural+".yaml")
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the definition of %s from the pinned %s: %w", plural, module, err)
		}
		crd, err := narrow(source)
		if err != nil {
			return nil, fmt.Errorf("narrow %s: %w", path, err)
		}
		loaded = append(loaded, crd)
	}
	return loaded, nil
}

// Render writes the definitions as one YAML stream.
func Render(definitions []*apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	var out bytes.Buffer
	for _, crd := range definitions {
		document, err := yaml.Marshal(withoutStatus(crd))
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", crd.Name, err)
		}
		out.WriteString("---\n")
		out.Write(document)
	}
	return out.Bytes(), nil
}

// narrow parses one definition, keeps its v1beta2 only and labels it as Drover's.
func narrow(source []byte) (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(source, crd); err != nil {
		return nil, err
	}
	crd.Spec.Versions = slices.DeleteFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return v.Name != version
	})
	if len(crd.Spec.Versions) != 1 {
		return nil, fmt.Errorf("%s has no version %s: the pinned Cluster API is not one that Drover knows", crd.Name, version)
	}
	crd.Spec.Versions[0].Served, crd.Spec.Versions[0].Storage = true, true
	crd.Spec.Conversion = nil
	crd.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
	if crd.Labels == nil {
		crd.Labels = map[string]string{}
	}
	crd.Labels[v1alpha1.ManagedLabel] = "true"
	return crd, nil
}

// withoutStatus is the definition as a manifest has it: the type always spells out an empty status.
func withoutStatus(crd *apiextensionsv1.CustomResourceDefinition) any {
	return struct {
		APIVersion string                                       `json:"apiVersion"`
		Kind       string                                       `json:"kind"`
		Metadata   map[string]any                               `json:"metadata"`
		Spec       apiextensionsv1.CustomResourceDefinitionSpec `json:"spec"`
	}{
		APIVersion: apiextensionsv1.SchemeGroupVersion.String(),
		Kind:       "CustomResourceDefinition",
		Metadata:   map[string]any{"name": crd.Name, "labels": crd.Labels, "annotations": crd.Annotations},
		Spec:       crd.Spec,
	}
}

// moduleDirectory asks the go command where the pinned module is, and fetches it where it is missing.
func moduleDirectory(dir string) (string, error) {
	if found, err := goCommand(dir, "list", "-m", "-f", "{{.Dir}}", module); err != nil || found != "" {
		return found, err
	}
	if _, err := goCommand(dir, "mod", "download", module); err != nil {
		return "", err
	}
	return goCommand(dir, "list", "-m", "-f", "{{.Dir}}", module)
}

func goCommand(dir string, args ...string) (string, error) {
	command := exec.Command("go", args...)
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
