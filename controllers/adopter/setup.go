package adopter

import (
	"context"
	"fmt"

	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// New makes the reconciler of a manager's cluster. The function finds out the API server's URL as nodes reach it.
func New(mgr manager.Manager, server func(context.Context) (string, error)) (*Reconciler, error) {
	versions, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a discovery client: %w", err)
	}
	return &Reconciler{
		Client: mgr.GetClient(),
		Server: server,
		Version: func() (string, error) {
			info, err := versions.ServerVersion()
			if err != nil {
				return "", err
			}
			return info.GitVersion, nil
		},
	}, nil
}
