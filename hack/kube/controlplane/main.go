// Command controlplane is the control plane in one binary, for development: it becomes the
// Kubernetes program it is called as (a link named kube-apiserver, kube-scheduler, kubectl, …).
package main

import (
	"context"

	"github.com/spf13/cobra"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/drover-dev/drover/hack/kube/multicall"
)

func main() {
	multicall.Run(context.Background(), map[string]multicall.Main{
		"kube-apiserver": multicall.Component(func(context.Context) *cobra.Command {
			return apiserver.NewAPIServerCommand()
		}),
		"kube-controller-manager": multicall.Component(func(context.Context) *cobra.Command {
			return controllermanager.NewControllerManagerCommand()
		}),
		"kube-scheduler": multicall.Component(func(context.Context) *cobra.Command {
			return scheduler.NewSchedulerCommand()
		}),
		"kubectl": kubectl,
	})
}
