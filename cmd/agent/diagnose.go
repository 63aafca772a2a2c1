package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/drover-dev/drover/agent/diagnose"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/api/node"
)

func newDiagnose() *cobra.Command {
	opts := diagnose.Options{AgentVersion: version}
	var output string
	limit := resource.QuantityValue{Quantity: *resource.NewQuantity(diagnose.DefaultLimit, resource.BinarySI)}
	cmd := &cobra.Command{
		Use: "diagnose", Short: "Collect what tells why this node is not well into one archive", Args: cobra.NoArgs,
		Long: "Collect what tells why this node is not well into one archive: logs, configurations, generations, processes, containers,\n" +
			"kernel messages, network and disks. It needs neither the API server nor containerd nor the agent, changes nothing, and\n" +
			"takes out secrets. What could not be read is in the archive's index.json.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.CgroupRoot, opts.Limit = host.NewSystem().CgroupRoot(), limit.Value()
			name := diagnose.Name(opts, time.Now())
			if output == "-" {
				summary, err := diagnose.Write(cmd.Context(), cmd.OutOrStdout(), name, opts)
				if err != nil {
					return err
				}
				return told(cmd.ErrOrStderr(), name, summary)
			}
			if output == "" {
				output = name + ".tar.gz"
			}
			summary, err := diagnoseInto(cmd.Context(), output, name, opts)
			if err != nil {
				return err
			}
			return told(cmd.OutOrStdout(), output, summary)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&output, "output", "o", "", "the archive (default: drover-diagnose-NODE-TIME.tar.gz here; -: standard output)")
	flags.Var(&limit, "limit", "how large the archive may be")
	flags.StringVar(&opts.BootstrapPath, "bootstrap", node.BootstrapPath, "the bootstrap document")
	flags.StringVar(&opts.StateDir, "state-dir", node.StateDir, "the agent's state directory")
	flags.StringVar(&opts.RunDir, "run-dir", node.RunDir, "the agent's run directory")
	return cmd
}

// diagnoseInto writes the archive to a file that is not there yet, and leaves no half of one behind.
func diagnoseInto(ctx context.Context, path, name string, opts diagnose.Options) (diagnose.Summary, error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return diagnose.Summary{}, err
	}
	summary, err := diagnose.Write(ctx, out, name, opts)
	if err := errors.Join(err, out.Close()); err != nil {
		return diagnose.Summary{}, errors.Join(err, os.Remove(path))
	}
	return summary, nil
}

func told(out io.Writer, name string, s diagnose.Summary) error {
	_, err := fmt.Fprintf(out, "Wrote %s: %d files, %d KiB\n", name, s.Files, (s.Bytes+1023)/1024)
	if err == nil && len(s.Missing) > 0 {
		_, err = fmt.Fprintf(out, "%d things could not be read; its index.json says which and why\n", len(s.Missing))
	}
	return err
}
