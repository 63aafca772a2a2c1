package explain

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/cmd/kubectl-drover/connection"
	"github.com/drover-dev/drover/cmd/kubectl-drover/plain"
	"github.com/drover-dev/drover/controllers/planner"
)

// NewWhyCommand returns `kubectl drover why`.
func NewWhyCommand() *cobra.Command {
	var flags *connection.Flags
	var manager *string
	cmd := &cobra.Command{
		Use:   "why NODE|MACHINE|POOL",
		Short: "Say why a node pool, or a machine of one, is as it is, and what is done about it",
		Long: `Say why a node pool, or a machine of one, is as it is, and what is done about it or why nothing is yet.

The name is looked for among the pools of the namespace, then its machines, then the nodes of the cluster. Nothing is written.`,
		Example: `  kubectl drover why workers
  kubectl drover why workers-0a1b2-3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.Run(cmd.Context(), func(ctx context.Context, c *connection.Connection) error {
				asked, err := find(ctx, c, args[0])
				if err != nil {
					return err
				}
				told, err := foresee(ctx, c, asked.pool, *manager)
				if err != nil {
					return err
				}
				return renderWhy(cmd.OutOrStdout(), asked, told)
			})
		},
	}
	manager = managerFlag(cmd)
	flags = connection.AddTo(cmd)
	return cmd
}

// asked is what a user asks about.
type asked struct {
	pool *v1alpha1.NodePool
	// machine is nil for the pool as a whole.
	machine *clusterv1.Machine
}

// find finds what a name stands for.
func find(ctx context.Context, c *connection.Connection, name string) (*asked, error) {
	pool := &v1alpha1.NodePool{}
	err := c.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, pool)
	if err == nil {
		return &asked{pool: pool}, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	machine := &clusterv1.Machine{}
	key := client.ObjectKey{Namespace: c.Namespace, Name: name}
	err = c.Get(ctx, key, machine)
	if apierrors.IsNotFound(err) {
		if key.Namespace, err = namespaceOf(ctx, c, name); err != nil {
			return nil, err
		}
		err = c.Get(ctx, key, machine)
	}
	if err != nil {
		return nil, err
	}
	owner := machine.Labels[v1alpha1.PoolLabel]
	if owner == "" {
		return nil, fmt.Errorf("machine %s is of no node pool", key)
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: owner}, pool); err != nil {
		return nil, fmt.Errorf("machine %s: %w", key, err)
	}
	return &asked{pool: pool, machine: machine}, nil
}

// namespaceOf is the namespace of the pool that a Node is of. A Node has the name of its Machine.
func namespaceOf(ctx context.Context, c *connection.Connection, name string) (string, error) {
	node := &corev1.Node{}
	err := c.Get(ctx, client.ObjectKey{Name: name}, node)
	switch namespace := node.Labels[v1alpha1.PoolNamespaceLabel]; {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("there is neither a node pool nor a machine %s in namespace %s, nor a node of that name", name, c.Namespace)
	case err != nil:
		return "", err
	case namespace == "":
		return "", fmt.Errorf("node %s is of no node pool", name)
	default:
		return namespace, nil
	}
}

func renderWhy(out io.Writer, asked *asked, told planner.Explanation) error {
	lines := poolLines(told)
	if asked.machine != nil {
		lines = machineLines(asked.machine, told)
	}
	_, err := io.WriteString(out, strings.Join(lines, "\n")+"\n")
	return err
}

// notable are the conditions of a pool that say what is going on, the gravest first. All but Ready and Refreshed say something when True.
var notable = []string{
	v1alpha1.StalledCondition, v1alpha1.DrainBlockedCondition, v1alpha1.SuspendedCondition, v1alpha1.ReconcilingCondition, v1alpha1.ReadyCondition,
	v1alpha1.RefreshedCondition,
}

// poolLines say why a pool is as it is.
func poolLines(told planner.Explanation) []string {
	lines := []string{fmt.Sprintf("NodePool %s/%s: %s.", told.Pool.Namespace, told.Pool.Name, progress(told))}
	said := map[string]bool{}
	for _, name := range notable {
		c := meta.FindStatusCondition(told.Pool.Status.Conditions, name)
		if c == nil || c.Status != metav1.ConditionTrue && name != v1alpha1.ReadyCondition && name != v1alpha1.RefreshedCondition || said[c.Message] {
			continue
		}
		said[c.Message] = true
		lines = append(lines, fmt.Sprintf("%s is %s (%s): %s", c.Type, c.Status, c.Reason, plain.Text(c.Message)))
	}
	for _, s := range steps(told.Decisions) {
		lines = append(lines, stepLine(s))
	}
	return lines
}

// machineLines say why one of its machines is as it is.
func machineLines(machine *clusterv1.Machine, told planner.Explanation) []string {
	lines := []string{fmt.Sprintf("Machine %s/%s of NodePool %s: %s.", machine.Namespace, machine.Name, told.Pool.Name, plain.Text(state(machine.Name, told)))}
	if complaint := planner.Complaint(machine); complaint != "" {
		lines = append(lines, "It is not well: "+plain.Text(complaint))
	}
	found := false
	for _, s := range steps(told.Decisions) {
		if s.Name == machine.Name {
			lines, found = append(lines, stepLine(s)), true
		}
	}
	for _, p := range told.Problems {
		lines = append(lines, fmt.Sprintf("Its pool has a problem (%s): %s", p.Reason, plain.Text(p.Message)))
	}
	if !found {
		lines = append(lines, "Nothing is to be done to it.")
	}
	return lines
}

// state is where a machine is on its way.
func state(name string, told planner.Explanation) string {
	i := slices.IndexFunc(told.Machines, func(s planner.Standing) bool { return s.Name == name })
	if i < 0 {
		return "its pool does not count it"
	}
	return told.Machines[i].State
}

// stepLine is a step as a sentence.
func stepLine(s step) string {
	line := s.does()
	if s.Verb == planner.Update {
		line += fmt.Sprintf(" (%s)", s.Class)
	}
	return plain.Text(fmt.Sprintf("%s, %s. Why: %s.", line, s.when(), strings.TrimSuffix(s.Reason, ".")))
}
