package demo

import (
	"context"
	"fmt"
	"io"
	"os/exec"

	"github.com/drover-dev/drover/hack/dev/progress"
)

// report prints the fleet, what took how long, and how to go on.
func (d *demo) report(ctx context.Context, out io.Writer) error {
	tree, err := d.tree(ctx)
	if err != nil {
		return err
	}
	pods, err := d.kubectl(ctx, "get", "pods", "--selector=app=hello", "--output=wide")
	if err != nil {
		return err
	}
	text := fmt.Sprintf("\n$ kubectl drover tree\n%s\n$ kubectl get pods --selector=app=hello --output=wide\n%s\n", tree, pods)
	for _, step := range d.Progress.Steps() {
		text += fmt.Sprintf("%8s  %s\n", progress.Seconds(step.Took), step.Name)
	}
	text += fmt.Sprintf("%8s  in all\n\nIt stays up. To look around:\n\n  export KUBECONFIG=%s PATH=%s:$PATH\n\nTo end it: make down\n",
		progress.Seconds(d.Progress.Elapsed()), d.Layout.Kubeconfig(), d.Layout.Bin())
	_, err = io.WriteString(out, text)
	return err
}

func (d *demo) tree(ctx context.Context) (string, error) {
	return d.run(ctx, "kubectl-drover", "tree", "--all-namespaces")
}

func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	return d.run(ctx, "kubectl", args...)
}

// run runs one of our binaries as administrator.
func (d *demo) run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, d.Layout.Bin(name), append(args, "--kubeconfig="+d.Layout.Kubeconfig())...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return string(out), nil
}
