// Package connection connects a command of the plugin to the API server that the user means.
package connection

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// timeout bounds the reading: a plugin that hangs is worse than one that says so.
const timeout = 30 * time.Second

// Connection is to the API server of the user's kubeconfig and flags.
type Connection struct {
	client.Client
	// Config is what it was made from.
	Config *rest.Config
	// Namespace is the one that the user means.
	Namespace string
}

// Flags are kubectl's own.
type Flags struct {
	config *genericclioptions.ConfigFlags
}

// AddTo gives a command kubectl's flags.
func AddTo(cmd *cobra.Command) *Flags {
	f := &Flags{config: genericclioptions.NewConfigFlags(true)}
	f.config.AddFlags(cmd.Flags())
	return f
}

// Run connects, and runs a command with the connection and a context that bounds what it reads.
func (f *Flags) Run(ctx context.Context, command func(context.Context, *Connection) error) error {
	config, err := f.config.ToRESTConfig()
	if err != nil {
		return err
	}
	namespace, _, err := f.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: scheme()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return command(ctx, &Connection{Client: c, Config: config, Namespace: namespace})
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	utilruntime.Must(clusterv1.AddToScheme(s))
	return s
}
