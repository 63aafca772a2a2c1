// Command controlplane is the control plane in one binary, for development: it becomes the
// Kubernetes component it is called as (a link named kube-apiserver, kube-scheduler, …).
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
	multicall.Run(context.Background(), map[string]multicall.New{
		"kube-apiserver":          func(context.Context) *cobra.Command { return apiserver.NewAPIServerCommand() },
		"kube-controller-manager": func(context.Context) *cobra.Command { return controllermanager.NewControllerManagerCommand() },
		"kube-scheduler":          func(context.Context) *cobra.Command { return scheduler.NewSchedulerCommand() },
	})
}
