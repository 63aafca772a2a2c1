package simulated

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// Group and version of the simulated kinds.
const (
	Group   = "simulated.drover.dev"
	version = "v1"
)

// MachineKind and TemplateKind are the simulated kinds.
var (
	MachineKind  = schema.GroupVersionKind{Group: Group, Version: version, Kind: "SimulatedMachine"}
	TemplateKind = schema.GroupVersionKind{Group: Group, Version: version, Kind: "SimulatedMachineTemplate"}
)

// ProviderIDPrefix and a machine's name make its provider ID.
const ProviderIDPrefix = "simulated://"

// CRDs are the definitions of the simulated kinds.
func CRDs() []*apiextensionsv1.CustomResourceDefinition {
	return []*apiextensionsv1.CustomResourceDefinition{
		definition(MachineKind.Kind, "simulatedmachines"), definition(TemplateKind.Kind, "simulatedmachinetemplates"),
	}
}

// NewMachine is a SimulatedMachine that does not exist yet.
func NewMachine(namespace, name string) *unstructured.Unstructured {
	machine := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	machine.SetGroupVersionKind(MachineKind)
	machine.SetNamespace(namespace)
	machine.SetName(name)
	return machine
}

// NewTemplate is a SimulatedMachineTemplate that does not exist yet.
func NewTemplate(namespace, name string) *unstructured.Unstructured {
	template := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{}}},
	}}
	template.SetGroupVersionKind(TemplateKind)
	template.SetNamespace(namespace)
	template.SetName(name)
	return template
}

func definition(kind, plural string) *apiextensionsv1.CustomResourceDefinition {
	open := apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
	return &apiextensionsv1.CustomResourceDefinition{
		TypeMeta: metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{
			Name:   plural + "." + Group,
			Labels: map[string]string{"cluster.x-k8s.io/v1beta2": version},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: Group,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, ListKind: kind + "List", Plural: plural},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type:       "object",
					Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": open, "status": open},
				}},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			}},
		},
	}
}
