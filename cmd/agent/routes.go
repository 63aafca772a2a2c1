package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent/routes"
	"github.com/drover-dev/drover/api/node"
)

func newRoutes() *cobra.Command {
	opts := routes.Options{BootstrapPath: node.BootstrapPath}
	var pods, services []string
	var level string
	cmd := &cobra.Command{
		Use: "routes", Short: "Keep routes to the pods of all nodes on a machine that is none, such as an API server's", Args: cobra.NoArgs,
		Long: "Keep routes to the pods of all nodes on a machine that is none, such as an API server's, which calls webhooks and\n" +
			"aggregated APIs in pods. The machine must be on the nodes' segment. The routes go when this program is told to end.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Log, err = newLogger(level); err != nil {
				return err
			}
			if opts.PodCIDRs, err = prefixes("--pod-cidr", pods); err != nil {
				return err
			}
			if opts.ServiceCIDRs, err = prefixes("--service-cidr", services); err != nil {
				return err
			}
			return routes.Follow(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Kubeconfig, "kubeconfig", "", "a kubeconfig whose user may get, list and watch Nodes")
	flags.StringSliceVar(&pods, "pod-cidr", nil, "the ranges of the cluster's pods; no route is made elsewhere")
	flags.StringSliceVar(&services, "service-cidr", nil, "the ranges of the cluster's Services, where no route is made")
	flags.StringVar(&opts.HealthAddress, "health-bind-address", "", "where /readyz says whether anything is wrong (default: nowhere)")
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	for _, name := range []string{"kubeconfig", "pod-cidr"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that is not there is a mistake in this function
		}
	}
	return cmd
}

func prefixes(flag string, values []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, value := range values {
		prefix, err := netip.ParsePrefix(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}
