package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func newPreflight() *cobra.Command {
	var output, bootstrap string
	cmd := &cobra.Command{
		Use: "preflight", Short: "Say whether this machine can be a node, and change nothing on it", Args: cobra.NoArgs,
		Long: "Say whether this machine can be a node, and change nothing on it.\n\nAs text it fails when something is in the way; as JSON it prints a HostReport, which says so itself.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := wanted(bootstrap)
			if err != nil {
				return err
			}
			report := host.NewSystem().Look(cmd.Context(), node.StateDir, spec, component.DefaultPaths().InUse())
			report.AgentVersion = version
			switch output {
			case "json":
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			case "text":
				return writeReport(cmd.OutOrStdout(), report)
			}
			return fmt.Errorf("--output %q: take text or json", output)
		},
	}
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	cmd.Flags().StringVar(&bootstrap, "bootstrap", "", "a bootstrap document, to look for what its pool needs (default: what a pool needs that sets nothing)")
	return cmd
}

// wanted is the state that a bootstrap document asks for, or without one what a pool has that sets nothing.
func wanted(bootstrap string) (*v1alpha1.NodeAgentSpec, error) {
	if bootstrap != "" {
		return agent.WantedBy(bootstrap)
	}
	spec := &v1alpha1.NodeAgentSpec{}
	spec.Proxy.Mode, spec.Network.Mode = v1alpha1.ProxyModeNFTables, v1alpha1.NetworkModeRoutes
	return spec, nil
}

func writeReport(out io.Writer, report node.HostReport) error {
	for _, f := range report.Findings {
		if _, err := fmt.Fprintf(out, "%s %s: %s\n", f.Severity, f.Name, f.Message); err != nil {
			return err
		}
	}
	if len(report.Blocking()) > 0 {
		return errors.New("this machine cannot be a node until what is blocking is mended")
	}
	_, err := fmt.Fprintln(out, "This machine can be a node")
	return err
}
