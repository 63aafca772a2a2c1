package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestInitAndSidecarContainersRunInOrder(t *testing.T) {
	shared := corev1.VolumeMount{Name: "shared", MountPath: "/shared"}
	pod := busybox("e2e-init", "cat /shared/order; test -s /shared/order", func(pod *corev1.Pod) {
		main := &pod.Spec.Containers[0]
		main.VolumeMounts = []corev1.VolumeMount{shared}
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		pod.Spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		step := func(name, script string, always bool) corev1.Container {
			container := corev1.Container{Name: name, Image: main.Image, Command: []string{"/bin/sh", "-c", script}, VolumeMounts: []corev1.VolumeMount{shared}}
			if always {
				container.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
				container.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-s", "/shared/order"}}}, PeriodSeconds: 1}
			}
			return container
		}
		pod.Spec.InitContainers = []corev1.Container{step("first", "echo first >> /shared/order", false), step("sidecar", "echo sidecar >> /shared/order; trap 'exit 0' TERM; while :; do sleep 0.1; done", true)}
	})
	world.startPod(t, pod, corev1.PodSucceeded)
	if got := world.log(t, pod, "main"); got != "first\nsidecar\n" {
		t.Errorf("the containers ran in the order %q", got)
	}
}

func TestVolumesShowWhatTheyShould(t *testing.T) {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "e2e-volumes"}, Data: map[string]string{"key": "from-configmap"}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "e2e-volumes"}, Data: map[string][]byte{"key": []byte("from-secret")}}
	for _, object := range []client.Object{config, secret} {
		if err := world.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = world.Delete(context.WithoutCancel(t.Context()), object) })
	}
	pod := busybox("e2e-volumes", "cat /config/key /secret/key /down/name; test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token", func(pod *corev1.Pod) {
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		pod.Spec.Volumes = []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: config.Name}}}},
			{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret.Name}}},
			{Name: "down", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}}},
		}
		for _, volume := range pod.Spec.Volumes {
			pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: volume.Name, MountPath: "/" + volume.Name})
		}
	})
	world.startPod(t, pod, corev1.PodSucceeded)
	if got, want := world.log(t, pod, "main"), "from-configmapfrom-secrete2e-volumestoken\n"; got != want {
		t.Errorf("the volumes hold %q, want %q", got, want)
	}
}

func TestAFailingLivenessProbeRestartsTheContainer(t *testing.T) {
	pod := busybox("e2e-liveness", "while :; do sleep 0.1; done", func(pod *corev1.Pod) {
		pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"false"}}}, PeriodSeconds: 1, FailureThreshold: 1}
	})
	if err := world.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)) })
	eventually(t, podsDeadline, "the container is restarted", func(ctx context.Context) error {
		if err := world.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount > 0 {
				return nil
			}
		}
		return fmt.Errorf("container statuses are %+v", pod.Status.ContainerStatuses)
	})
}

// The pool leaves its pods some 140 MiB: what its machine has, less what is reserved and the threshold.
func testAPodThatTakesTheNodesMemoryIsEvicted(t *testing.T) {
	pool := world.newPool(t, "e2e-eviction", 1, func(pool *fleetv1.NodePool) {
		pool.Spec.Template.Spec.Kubelet.EvictionHard = map[string]fleetv1.EvictionThreshold{"memory.available": "1400Mi"}
	})
	world.awaitPool(t, pool.Name, 1)
	node := world.onlyMachine(t, pool).Name
	modest := world.startPod(t, busybox("e2e-modest", idle, onNode(node), func(pod *corev1.Pod) {
		// What takes no more than it asked for goes last.
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}
	}), corev1.PodRunning)
	// It heeds no signal, so that it fails: a pod that ends well when it is evicted counts as Succeeded.
	greedy := busybox("e2e-greedy", "head -c 300m /dev/zero > /memory/file; while :; do sleep 0.2; done", onNode(node), func(pod *corev1.Pod) {
		pod.Spec.Volumes = []corev1.Volume{{Name: "memory", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "memory", MountPath: "/memory"}}
	})
	world.createPod(t, greedy)
	world.awaitPod(t, greedy, corev1.PodFailed, false)
	if greedy.Status.Reason != "Evicted" || !strings.Contains(greedy.Status.Message, "low on resource: memory") {
		t.Errorf("the pod failed because of %s: %s", greedy.Status.Reason, greedy.Status.Message)
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(modest), modest); err != nil || !podReady(modest) {
		t.Errorf("the pod that took little does not run: %v, %+v", err, modest.Status)
	}
}

func TestPortForwardReachesAPod(t *testing.T) {
	pods, err := world.pods(t.Context(), client.MatchingLabels{"app": "hello"})
	if err != nil || len(pods) == 0 {
		t.Fatalf("no hello pod: %v", err)
	}
	pod := pods[0]
	url := world.Clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(url, world.Config)
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(world.Config)
	if err != nil {
		t.Fatal(err)
	}
	dialer := portforward.NewFallbackDialer(tunnel, spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", url), httpstream.IsUpgradeFailure)
	stop, ready := make(chan struct{}), make(chan struct{})
	defer close(stop)
	forwarder, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", pod.Spec.Containers[0].Ports[0].ContainerPort)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		t.Fatalf("forward a port to %s: %v", pod.Name, err)
	case <-time.After(podsDeadline):
		t.Fatalf("forward a port to %s: not ready within %v", pod.Name, podsDeadline)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	line, _ := bufio.NewReader(response.Body).ReadString('\n')
	if response.StatusCode != http.StatusOK || !strings.Contains(line, pod.Name) {
		t.Errorf("the pod answered %s %q, want its name %s", response.Status, line, pod.Name)
	}
}

func TestSummaryAPIKnowsTheNodesPods(t *testing.T) {
	node := world.aNode(t)
	eventually(t, podsDeadline, "the summary has the node's pods with their memory", func(ctx context.Context) error {
		raw, err := world.Clientset.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy", "stats", "summary").DoRaw(ctx)
		if err != nil {
			return err
		}
		var summary statsv1.Summary
		if err := json.Unmarshal(raw, &summary); err != nil {
			return err
		}
		if summary.Node.Memory == nil || summary.Node.Fs == nil {
			return fmt.Errorf("no memory or file system of the node: %s", raw)
		}
		for _, pod := range summary.Pods {
			if pod.PodRef.Namespace == "default" && len(pod.Containers) > 0 && pod.Containers[0].Memory != nil {
				return nil
			}
		}
		return fmt.Errorf("%d pods, none of them in default with its memory", len(summary.Pods))
	})
}
