// Package demo shows the whole: a pool of nodes, a Deployment on them, and its Service called by name from each node.
//
// samples.go renders config/samples, bundle.go compares a NodeBundle that is there already, wait.go waits for what was
// applied, call.go calls the Service, explain.go says what is known when a wait fails, and report.go prints what there
// is in the end. upgrade.go changes what another pool's nodes run while load.go calls its pods.
package demo

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/world"
)

// Bounds of the demo's steps. The pool's is wide because a cold machine reads its programs from disk first.
const (
	poolTimeout       = 3 * time.Minute
	deploymentTimeout = 2 * time.Minute
	callTimeout       = time.Minute
)

type demo struct {
	*world.World
	client    client.Client
	clientset kubernetes.Interface
	samples   map[string][]*unstructured.Unstructured
}

// Run starts the world if it does not run, applies the samples, waits and verifies; what it started stays.
func Run(ctx context.Context, w *world.World) error {
	if err := w.Up(ctx); err != nil {
		return err
	}
	d, err := connect(w)
	if err != nil {
		return err
	}
	if err := d.checkBundle(ctx); err != nil {
		return err
	}
	if err := d.showPoolAtWork(ctx); err != nil {
		return d.explain(ctx, err)
	}
	return d.report(ctx, os.Stdout)
}

func connect(w *world.World) (*demo, error) {
	samples, err := renderSamples(w.Layout)
	if err != nil {
		return nil, err
	}
	c, err := w.Client()
	if err != nil {
		return nil, err
	}
	config, err := w.Config()
	if err != nil {
		return nil, err
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return &demo{World: w, client: c, clientset: clientset, samples: samples}, nil
}

func (d *demo) showPoolAtWork(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context, func(string)) error
	}{
		{"NodePool default/workers: two nodes Ready", d.pool},
		{"CoreDNS", d.deployment("coredns", "kube-system", "coredns")},
		{"Deployment default/hello", d.deployment("hello", "default", "hello")},
		{"Service hello, called by name from each node", d.call},
	}
	for _, step := range steps {
		if err := d.Progress.Step(step.name, func(say func(string)) error { return step.do(ctx, say) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) pool(ctx context.Context, say func(string)) error {
	for _, sample := range []string{"nodebundle", "localmachinetemplate", "nodepool"} {
		if err := install.Apply(ctx, d.client, d.samples[sample]); err != nil {
			return err
		}
	}
	return d.awaitPool(ctx, say)
}

// deployment returns the step that applies a sample and waits for a Deployment in it.
func (d *demo) deployment(sample, namespace, name string) func(context.Context, func(string)) error {
	return func(ctx context.Context, say func(string)) error {
		if err := install.Apply(ctx, d.client, d.samples[sample]); err != nil {
			return err
		}
		return d.awaitDeployment(ctx, client.ObjectKey{Namespace: namespace, Name: name}, say)
	}
}
