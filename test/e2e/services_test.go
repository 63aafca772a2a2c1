package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// idle is the script of a pod that stays up to be looked at.
const idle = "trap 'exit 0' TERM; while :; do sleep 0.2; done"

func TestServiceAnswersByNameFromEveryNode(t *testing.T) {
	for node, caller := range helloPerNode(t) {
		answered := map[string]bool{}
		eventually(t, podsDeadline, "all four pods answer calls from "+node, func(ctx context.Context) error {
			answer, err := world.exec(ctx, &caller, "/hello", "get", "http://hello.default.svc.cluster.local/")
			if err != nil {
				return err
			}
			answered[strings.Fields(answer)[2]] = true
			if len(answered) < 4 {
				return fmt.Errorf("only these answered: %v", answered)
			}
			return nil
		})
	}
}

// A pod on another node must see the caller's own address: no translation between pods.
func TestPodsSeeEachOthersAddressesAcrossNodes(t *testing.T) {
	perNode := helloPerNode(t)
	for from, caller := range perNode {
		for to, server := range perNode {
			answer, err := world.exec(t.Context(), &caller, "/hello", "get", "http://"+server.Status.PodIP+":8080/")
			if err != nil {
				t.Errorf("from %s to %s: %v", from, to, err)
			} else if want := " to " + caller.Status.PodIP + "\n"; !strings.HasSuffix(answer, want) {
				t.Errorf("from %s to %s: the server says %q, want it to end in %q", from, to, answer, want)
			}
		}
	}
}

// helloPerNode returns one of hello's pods for each of the demo's two nodes.
func helloPerNode(t *testing.T) map[string]corev1.Pod {
	t.Helper()
	perNode := map[string]corev1.Pod{}
	eventually(t, podsDeadline, "hello runs on both nodes", func(ctx context.Context) error {
		clear(perNode)
		pods, err := world.pods(ctx, client.MatchingLabels{"app": "hello"})
		if err != nil {
			return err
		}
		for _, pod := range pods {
			perNode[pod.Spec.NodeName] = pod
		}
		if len(perNode) != 2 || len(pods) != 4 {
			return fmt.Errorf("%d pods on %d nodes", len(pods), len(perNode))
		}
		return nil
	})
	return perNode
}

func TestNodePortIsReachableFromTheHost(t *testing.T) {
	port := nodePort(t, "e2e-nodeport", "hello")
	nodes, err := world.nodes(t.Context(), "workers")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		url := fmt.Sprintf("http://%s:%d/", address(&node, corev1.NodeInternalIP), port)
		eventually(t, podsDeadline, url+" answers", func(ctx context.Context) error { return get(ctx, url) })
	}
}

// nodePort makes a Service with a port on every node for the pods of an app, until the test's end.
func nodePort(t *testing.T, name, app string) int32 {
	t.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": app},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	if err := world.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Delete(context.WithoutCancel(t.Context()), service); err != nil {
			t.Errorf("delete Service %s: %v", name, err)
		}
	})
	return service.Spec.Ports[0].NodePort
}

func address(node *corev1.Node, kind corev1.NodeAddressType) string {
	for _, a := range node.Status.Addresses {
		if a.Type == kind {
			return a.Address
		}
	}
	return ""
}

// What serves is not called before it says that it is ready, and no more when it says that it is not.
func TestAPodGetsTrafficOnlyWhileItsReadinessProbeSucceeds(t *testing.T) {
	const name = "e2e-readiness"
	caller := must[[]corev1.Pod](t)(world.pods(t.Context(), client.MatchingLabels{"app": "hello"}))[0]
	url := fmt.Sprintf("http://%s:%d/", address(must[*corev1.Node](t)(world.node(t.Context(), caller.Spec.NodeName)), corev1.NodeInternalIP), nodePort(t, name, name))
	pod := busybox(name, "mkdir /www && echo ok > /www/index.html && exec httpd -f -p 8080 -h /www", func(pod *corev1.Pod) {
		pod.Labels = map[string]string{"app": name}
		pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}},
			PeriodSeconds: 1, FailureThreshold: 1,
		}
	})
	world.createPod(t, pod)
	for _, step := range []struct {
		command string
		ready   bool
	}{{"true", false}, {"touch /www/ready", true}, {"rm /www/ready", false}} {
		eventually(t, podsDeadline, "the pod answers those who call it by its address", func(ctx context.Context) error {
			if err := world.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil || pod.Status.PodIP == "" {
				return errors.Join(err, fmt.Errorf("its address is %q", pod.Status.PodIP))
			}
			_, err := world.exec(ctx, &caller, "/hello", "get", "http://"+pod.Status.PodIP+":8080/")
			return err
		})
		if _, err := world.exec(t.Context(), pod, "/bin/sh", "-c", step.command); err != nil {
			t.Fatal(err)
		}
		world.awaitPod(t, pod, corev1.PodRunning, step.ready)
		eventually(t, podsDeadline, fmt.Sprintf("its Service answers: %t, after %s", step.ready, step.command), func(ctx context.Context) error {
			err := get(ctx, url)
			return unless((err == nil) == step.ready, "%s: %v", url, err)
		})
	}
}
