package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent"
	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/node"
)

func newPlan() *cobra.Command {
	var opts agent.Options
	var desired string
	cmd := &cobra.Command{
		Use: "plan --desired FILE", Short: "Say what another desired state would do to this node, and change nothing on it", Args: cobra.NoArgs,
		Long: "Say what another desired state would do to this node, and change nothing on it.\n\nThe file holds a NodeAgent, or its spec, as YAML or JSON; - is standard input.\nIt is compared with the generation that the node runs, by the code that would change it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := readDesired(cmd.InOrStdin(), desired)
			if err != nil {
				return err
			}
			prediction, err := agent.Predict(cmd.Context(), opts, data)
			if err != nil {
				return fmt.Errorf("plan for %s: %w", desired, err)
			}
			return writePrediction(cmd.OutOrStdout(), prediction)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&desired, "desired", "", "`file` with the NodeAgent, or its spec, to ask about")
	flags.StringVar(&opts.BootstrapPath, "bootstrap", node.BootstrapPath, "the bootstrap document")
	flags.StringVar(&opts.StateDir, "state-dir", node.StateDir, "what survives a reboot")
	flags.StringVar(&opts.RunDir, "run-dir", node.RunDir, "what does not survive a reboot")
	if err := cmd.MarkFlagRequired("desired"); err != nil {
		panic(err) // the flag is there
	}
	return cmd
}

func readDesired(in io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file)
}

func writePrediction(out io.Writer, p *agent.Prediction) error {
	var text strings.Builder
	if len(p.Changes) == 0 {
		fmt.Fprintf(&text, "%s runs that already: nothing differs from revision %s\n", p.Node, p.From)
	} else {
		fmt.Fprintf(&text, "%s, from revision %s to %s:\n\n", p.Node, p.From, cmp.Or(p.To, "one without a name"))
		table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "FIELD\tCLASS\tRESTARTS\tWHY")
		for _, c := range p.Changes {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Field, c.Class, cmp.Or(strings.Join(c.Components, ","), "-"), c.Message)
		}
		if err := table.Flush(); err != nil { // which says what became of all of it
			return err
		}
		fmt.Fprintf(&text, "\nClass: %s, %s\n", p.Class(), meaning[p.Class()])
	}
	fmt.Fprintf(&text, "Processes: %s\n", cmp.Or(effects(p), "all go on"))
	for _, file := range p.Written {
		fmt.Fprintf(&text, "Writes %s\n", file)
	}
	for _, file := range p.Removed {
		fmt.Fprintf(&text, "Removes %s\n", file)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&text, "Note: %s\n", note)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

var meaning = map[disruption.Class]string{
	disruption.None:    "pods see nothing of it",
	disruption.Restart: "pods go on",
	disruption.Drain:   "the node's pods go elsewhere first",
	disruption.Replace: "the machine gives way to a new one",
}

func effects(p *agent.Prediction) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Effects)) {
		all = append(all, name+" "+p.Effects[name])
	}
	return strings.Join(all, ", ")
}
