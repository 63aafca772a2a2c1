// Package multicall lets several Kubernetes components live in one binary, chosen by the name it is called as.
package multicall

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"

	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go's metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
)

// New makes the command of one component.
type New func(context.Context) *cobra.Command

// Run executes the component named by the base name of argv[0] and exits with its code; 2 for an unknown name.
func Run(ctx context.Context, components map[string]New) {
	name := filepath.Base(os.Args[0])
	component, known := components[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: not a component of this binary; call it through a link named as one\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(component(ctx)))
}
