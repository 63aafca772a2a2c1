// Package multicall lets several Kubernetes programs live in one binary, chosen by the name it is called as.
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

// Main is a program: it returns its exit code.
type Main func(context.Context) int

// Component is the Main of a daemon made of one command.
func Component(command func(context.Context) *cobra.Command) Main {
	return func(ctx context.Context) int { return cli.Run(command(ctx)) }
}

// Run executes the program named by the base name of argv[0] and exits with its code; 2 for an unknown name.
func Run(ctx context.Context, programs map[string]Main) {
	name := filepath.Base(os.Args[0])
	program, known := programs[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: not a program of this binary; call it through a link named as one\n", name)
		os.Exit(2)
	}
	os.Exit(program(ctx))
}
