package app

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/engine"
)

const checkTimeout = 30 * time.Second

// ourKinds are the plural names of what the controllers watch.
var ourKinds = []string{
	"nodepools", "nodebundles", "nodeagents", "localmachines", "localmachinetemplates",
	"hosts", "hostmachines", "hostmachinetemplates", "adoptedclusters", "adoptedcontrolplanes",
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// checkCluster says in one sentence what is missing for the manager to run, before a controller waits for it in vain.
func checkCluster(ctx context.Context, config *rest.Config, scheme *runtime.Scheme, mode engine.Mode) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return unreachable(config, err)
	}
	for _, plural := range ourKinds {
		name := plural + "." + v1alpha1.GroupVersion.Group
		err := reader.Get(ctx, client.ObjectKey{Name: name}, &apiextensionsv1.CustomResourceDefinition{})
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("the definition %s is missing: apply dist/install.yaml first", name)
		case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
			return fmt.Errorf("the manager's identity lacks rights: %w: apply dist/install.yaml, or use another --kubeconfig", err)
		case err != nil:
			return unreachable(config, err)
		}
	}
	return engine.Check(ctx, reader, mode)
}

func unreachable(config *rest.Config, err error) error {
	return fmt.Errorf("the API server at %s cannot be reached: %w: check the network and --kubeconfig", config.Host, err)
}
