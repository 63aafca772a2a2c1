package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/util/retry"
)

// elsewhere is the key of the taint on the nodes that the tests' pods keep off. Unlike a cordon it keeps off the pods of
// DaemonSets too, and is told from what somebody else does to the node meanwhile.
const elsewhere = "conformance.drover.dev/elsewhere"

// usable are the names of the nodes that pods can be scheduled to.
func usable(nodes []corev1.Node) []string {
	var names []string
	for _, node := range nodes {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && !node.Spec.Unschedulable {
				names = append(names, node.Name)
			}
		}
	}
	return names
}

// choose returns the names of the usable nodes that which chooses: a node's name, or a selector of labels.
func choose(nodes []corev1.Node, which string) ([]string, error) {
	var matching []corev1.Node
	if at := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == which }); at >= 0 {
		matching = nodes[at : at+1]
	} else {
		selector, err := labels.Parse(which)
		if err != nil {
			return nil, fmt.Errorf("NODE=%s is neither a node's name nor a selector of labels: %w", which, err)
		}
		for _, node := range nodes {
			if selector.Matches(labels.Set(node.Labels)) {
				matching = append(matching, node)
			}
		}
	}
	chosen := usable(matching)
	if len(chosen) == 0 {
		return nil, fmt.Errorf("NODE=%s chooses none of the nodes that are Ready and not cordoned: %s", which, strings.Join(usable(nodes), ", "))
	}
	return chosen, nil
}

// keepTo calls run while pods that do not ask for it are scheduled to the chosen nodes alone. Afterwards the taints of all
// nodes are as they were, also when ctx was cancelled.
func (f *fleet) keepTo(ctx context.Context, chosen []string, run func(context.Context) error) error {
	err := f.taint(ctx, func(node string) bool { return !slices.Contains(chosen, node) })
	if err == nil {
		err = run(ctx)
	}
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return errors.Join(err, f.openAll(cleanup))
}

// openAll lets pods to every node again, also where a run that was killed had no chance to.
func (f *fleet) openAll(ctx context.Context) error {
	return f.taint(ctx, func(string) bool { return false })
}

// taint sees to it that exactly the nodes that are closed have our taint.
func (f *fleet) taint(ctx context.Context, closed func(node string) bool) error {
	nodes, err := f.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	var failed error
	for _, node := range nodes.Items {
		failed = errors.Join(failed, f.taintNode(ctx, node.Name, closed(node.Name)))
	}
	return failed
}

func (f *fleet) taintNode(ctx context.Context, name string, closed bool) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := f.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ours := func(t corev1.Taint) bool { return t.Key == elsewhere }
		switch has := slices.ContainsFunc(node.Spec.Taints, ours); {
		case has == closed:
			return nil
		case closed:
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: elsewhere, Effect: corev1.TaintEffectNoSchedule})
		default:
			node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, ours)
		}
		_, err = f.client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
	switch {
	case err == nil:
		return nil
	case closed:
		return fmt.Errorf("keep the tests off node %s: %w", name, err)
	default:
		return fmt.Errorf("let pods to node %s again (`kubectl taint nodes %s %s-` does): %w", name, name, elsewhere, err)
	}
}
