package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/dev/layout"
)

const (
	serviceURL = "http://hello.default.svc"
	greeting   = "Hello from "
)

// call calls the Service from a pod on each node, and shows who answered.
func (d *demo) call(ctx context.Context, say func(string)) error {
	var nodes corev1.NodeList
	if err := d.client.List(ctx, &nodes, client.HasLabels{"fleet.drover.dev/pool"}); err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	if len(nodes.Items) == 0 {
		return errors.New("no node has the pool's label")
	}
	for i := range nodes.Items {
		answer, err := d.callFrom(ctx, nodes.Items[i].Name, say)
		if err != nil {
			return fmt.Errorf("call %s from node %s: %w", serviceURL, nodes.Items[i].Name, err)
		}
		d.Progress.Note(fmt.Sprintf("From %s: %s", nodes.Items[i].Name, answer))
	}
	return nil
}

// callFrom runs a pod on the node that fetches the URL, and returns what it printed.
func (d *demo) callFrom(ctx context.Context, node string, say func(string)) (answer string, err error) {
	pod, err := callPod(d.Layout, node)
	if err != nil {
		return "", err
	}
	pods := d.clientset.CoreV1().Pods(pod.Namespace)
	remove := func(ctx context.Context) error {
		return client.IgnoreNotFound(pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	}
	// One of an earlier run may be there still.
	if err := remove(ctx); err != nil {
		return "", err
	}
	if err := await(ctx, "the end of the pod "+pod.Name, callTimeout, say, func(ctx context.Context) (string, bool, error) {
		_, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		return "an earlier pod ends", apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}); err != nil {
		return "", err
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, remove(ctx))
	}()
	if err := await(ctx, "the pod "+pod.Name, callTimeout, say, func(ctx context.Context) (string, bool, error) {
		live, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return "", false, err
		}
		return fmt.Sprintf("pod %s is %s", pod.Name, live.Status.Phase), live.Status.Phase == corev1.PodSucceeded || live.Status.Phase == corev1.PodFailed, nil
	}); err != nil {
		return "", err
	}
	raw, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("read the log of the pod %s: %w", pod.Name, err)
	}
	answer = strings.TrimSpace(string(raw))
	if !strings.HasPrefix(answer, greeting) {
		return "", fmt.Errorf("the answer is %q, not a greeting", answer)
	}
	return answer, nil
}

// callPod is bound to the node without asking the scheduler.
func callPod(l layout.Layout, node string) (*corev1.Pod, error) {
	digests, err := layout.ReadDigests(l)
	if err != nil {
		return nil, err
	}
	image, err := digests.Image("images/hello")
	if err != nil {
		return nil, err
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "call-from-" + node, Labels: map[string]string{"app": "call"}},
		Spec: corev1.PodSpec{
			NodeName:      node,
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "call", Image: image,
				Args: []string{"get", serviceURL},
			}},
		},
	}, nil
}
