package e2e

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// World is a running demo and the ways into it.
type World struct {
	client.Client
	Clientset *kubernetes.Clientset
	Config    *rest.Config
	Root      string
}

func connect(root string) (*World, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(root, ".drover", "kubeconfig"))
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // whoever waits for his turn has seen what was, and not what is
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, policyv1.AddToScheme, clusterv1.AddToScheme, fleetv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &World{Client: c, Clientset: clientset, Config: config, Root: root}, nil
}

// eventually polls until check reports no complaint, and fails with its last one after limit. It works in a test's
// cleanup too.
func eventually(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	poll(t, pace{first: 100 * time.Millisecond, last: time.Second}, limit, what, check)
}

// soon is eventually for what takes part of a second.
func soon(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	poll(t, pace{first: 20 * time.Millisecond, last: 200 * time.Millisecond}, limit, what, check)
}

// pace is how long it is between two looks. Dozens of tests wait at the same time for what takes a minute, and each look is requests of
// the API server, which has the same two processors as all nodes: so looks become rarer.
type pace struct{ first, last time.Duration }

func (p *pace) next() time.Duration {
	now := p.first
	p.first = min(p.first*5/4, p.last)
	return now
}

func poll(t *testing.T, every pace, limit time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	defer cancel()
	last := fmt.Errorf("never looked")
	for {
		if err := check(ctx); err == nil {
			return
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, limit, last)
		case <-time.After(every.next()):
		}
	}
}

// exec runs a command in a pod's only container and returns what it wrote to standard output.
func (w *World) exec(ctx context.Context, pod *corev1.Pod, command ...string) (string, error) {
	request := w.Clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, clientgoscheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(w.Config, "GET", request.URL().String())
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return stdout.String(), fmt.Errorf("%s in %s: %w: %s", strings.Join(command, " "), pod.Name, err, stderr.String())
	}
	return stdout.String(), nil
}

// pods lists the running, ready pods of the default namespace that match the labels.
func (w *World) pods(ctx context.Context, labels client.MatchingLabels) ([]corev1.Pod, error) {
	var all corev1.PodList
	if err := w.List(ctx, &all, client.InNamespace("default"), labels); err != nil {
		return nil, err
	}
	var ready []corev1.Pod
	for _, pod := range all.Items {
		if pod.DeletionTimestamp.IsZero() && podReady(&pod) {
			ready = append(ready, pod)
		}
	}
	return ready, nil
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
