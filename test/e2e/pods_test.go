package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// imageBase is where the demo serves its images.
const imageBase = "10.88.0.1:5443/images/"

// busybox makes a pod that runs a shell script and ends at once when asked to.
func busybox(name, script string, changes ...func(*corev1.Pod)) *corev1.Pod {
	seconds := int64(1)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &seconds,
			Containers:                    []corev1.Container{{Name: "main", Image: imageBase + "busybox:dev", Command: []string{"/bin/sh", "-c", script}}},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

// onNode pins a pod to a node, whatever its taints.
func onNode(node string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
		pod.Spec.Tolerations = []corev1.Toleration{{Key: "e2e", Operator: corev1.TolerationOpExists}}
	}
}

// startPod makes a pod, which goes at the test's end, and waits until it is in the phase, and ready if that is Running.
func (w *World) startPod(t *testing.T, pod *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	t.Helper()
	w.createPod(t, pod)
	w.awaitPod(t, pod, phase, phase == corev1.PodRunning)
	return pod
}

// createPod makes a pod, which goes at the test's end.
func (w *World) createPod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if err := w.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Errorf("delete pod %s: %v", pod.Name, err)
		}
	})
}

// awaitPod waits until a pod is in the phase, and ready or not.
func (w *World) awaitPod(t *testing.T, pod *corev1.Pod, phase corev1.PodPhase, ready bool) {
	t.Helper()
	eventually(t, podsDeadline, fmt.Sprintf("pod %s is %s, ready: %t", pod.Name, phase, ready), func(ctx context.Context) error {
		err := w.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return errors.Join(err, unless(pod.Status.Phase == phase && podReady(pod) == ready, "it is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses))
	})
}

// log returns what a container of a pod wrote.
func (w *World) log(t *testing.T, pod *corev1.Pod, container string) string {
	t.Helper()
	text, err := w.Clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("logs of %s: %v", pod.Name, err)
	}
	return string(text)
}

// aNode returns the name of one of the demo's nodes.
func (w *World) aNode(t *testing.T) string {
	t.Helper()
	nodes, err := w.nodes(t.Context(), "workers")
	if err != nil || len(nodes) == 0 {
		t.Fatalf("the demo has no ready node: %v", err)
	}
	return nodes[0].Name
}
