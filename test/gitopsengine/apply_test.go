package gitopsengine

import (
	"context"
	"encoding/json"

	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/util/openapi"
)

// serverSideManager is Argo CD's name as the owner of fields.
const serverSideManager = "argocd-controller"

// kubectl applies server-side as Argo CD does since 2.5: under a name of its own, and taking fields from whoever else has them. Of
// itself this release of the engine names nobody, which the API server refuses.
type kubectl struct{ kube.Kubectl }

func (k kubectl) ManageResources(config *rest.Config, schema openapi.Resources) (kube.ResourceOperations, func(), error) {
	operations, clean, err := k.Kubectl.ManageResources(config, schema)
	return serverSide{operations, config}, clean, err
}

type serverSide struct {
	kube.ResourceOperations
	config *rest.Config
}

func (s serverSide) ApplyResource(ctx context.Context, object *unstructured.Unstructured, dry cmdutil.DryRunStrategy, force, validate, serverSide bool) (string, error) {
	if !serverSide {
		return s.ResourceOperations.ApplyResource(ctx, object, dry, force, validate, serverSide)
	}
	resource, err := resourceOf(s.config, object)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return "", err
	}
	options := metav1.PatchOptions{FieldManager: serverSideManager, Force: &serverSide}
	if dry != cmdutil.DryRunNone {
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err = resource.Patch(ctx, object.GetName(), types.ApplyPatchType, text, options)
	return nameOf(object) + " serverside-applied", err
}

func resourceOf(config *rest.Config, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	found, err := kube.ServerResourceForGroupVersionKind(kinds, object.GroupVersionKind(), "patch")
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	resource := kube.ToGroupVersionResource(object.GroupVersionKind().GroupVersion().String(), found)
	return kube.ToResourceInterface(objects, found, resource, object.GetNamespace()), nil
}
