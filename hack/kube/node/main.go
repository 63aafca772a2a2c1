// Command node is what a worker runs of Kubernetes, in one binary: it becomes the kubelet or kube-proxy
// by the name it is called as. Linked apart from the control plane it is a third smaller, and the two
// processes share its pages.
package main

import (
	"context"

	"github.com/spf13/cobra"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"github.com/drover-dev/drover/hack/kube/multicall"
)

func main() {
	multicall.Run(context.Background(), map[string]multicall.Main{
		"kubelet":    multicall.Component(kubelet.NewKubeletCommand),
		"kube-proxy": multicall.Component(func(context.Context) *cobra.Command { return proxy.NewProxyCommand() }),
	})
}
