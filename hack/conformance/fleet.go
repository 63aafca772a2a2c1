package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// errNoFleet is for whoever called make without a world.
var errNoFleet = errors.New("no demo fleet with a Ready node runs in this checkout: start one with `make demo`")

// testNamespace is the label upstream's framework puts on the namespaces it makes.
const testNamespace = "e2e-framework"

// fleet is the running cluster.
type fleet struct {
	client kubernetes.Interface
	nodes  []corev1.Node // as they were found
}

// connect finds out whether there is a fleet to test.
func connect(ctx context.Context, l layout.Layout) (*fleet, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoFleet, err)
	}
	config.Timeout = 10 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoFleet, err)
	}
	if len(usable(nodes.Items)) == 0 {
		return nil, errNoFleet
	}
	return &fleet{client: client, nodes: nodes.Items}, nil
}

// removeNamespaces deletes the tests' namespaces that are still there, and waits until they are gone.
func (f *fleet) removeNamespaces(ctx context.Context) error {
	namespaces := f.client.CoreV1().Namespaces()
	var left []string
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		list, err := namespaces.List(ctx, metav1.ListOptions{LabelSelector: testNamespace})
		if err != nil {
			return false, err
		}
		left = nil
		for _, namespace := range list.Items {
			left = append(left, namespace.Name)
			if namespace.DeletionTimestamp.IsZero() {
				err = errors.Join(err, namespaces.Delete(ctx, namespace.Name, metav1.DeleteOptions{}))
			}
		}
		return len(left) == 0, err
	})
	if err != nil {
		return fmt.Errorf("remove the tests' namespaces %v: %w", left, err)
	}
	return nil
}
