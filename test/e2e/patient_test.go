package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// patient is a node that is made ill, with pods on it that are not to notice.
type patient struct {
	pool, node string
	init       string // the process ID of the machine's init, on the host
	pods       []*corev1.Pod
	// url is answered by a pod on the node, by way of a Service's port of the node.
	url string
}

// newPatient makes a pool of one node and puts pods on it. One serves, the other does nothing.
func newPatient(t *testing.T, name string) *patient {
	t.Helper()
	pool := world.newPool(t, name, 1, func(pool *fleetv1.NodePool) {
		pool.Spec.Template.Spec.Sysctls = map[string]fleetv1.SysctlValue{parameter: parameterValue}
	})
	world.awaitPool(t, name, 1)
	node := world.onlyMachine(t, pool).Name
	awaitPhase(t, node, fleetv1.PhaseCommitted, "")
	web := busybox(name, "mkdir /www && echo ok > /www/index.html && exec httpd -f -p 8080 -h /www", onNode(node), func(pod *corev1.Pod) {
		pod.Labels = map[string]string{"app": name}
	})
	p := &patient{pool: name, node: node, init: strconv.Itoa(world.initOf(t, node)), pods: []*corev1.Pod{web, busybox(name+"-idle", idle, onNode(node))}}
	for _, pod := range p.pods {
		world.startPod(t, pod, corev1.PodRunning)
	}
	port := nodePort(t, name, name)
	p.url = fmt.Sprintf("http://%s:%d/", address(must[*corev1.Node](t)(world.node(t.Context(), node)), corev1.NodeInternalIP), port)
	eventually(t, podsDeadline, p.url+" answers", func(ctx context.Context) error { return get(ctx, p.url) })
	return p
}

// path is one of the machine's, as the host sees it.
func (p *patient) path(path string) string { return filepath.Join("/proc", p.init, "root", path) }

// add writes a line to the end of a file of the machine's.
func (p *patient) add(t *testing.T, path, line string) {
	t.Helper()
	file := must[*os.File](t)(os.OpenFile(p.path(path), os.O_APPEND|os.O_WRONLY, 0))
	_, err := file.WriteString(line)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// lacks fails while a file of the machine's ends with a line, and has while there is none.
func (p *patient) lacks(path, line string) error {
	content, err := os.ReadFile(p.path(path))
	return errors.Join(err, unless(!strings.HasSuffix(string(content), line), "%s ends with %q", path, line))
}

func (p *patient) has(path string) error {
	_, err := os.Stat(p.path(path))
	return err
}

// inNetwork runs a command in the machine's network namespace.
func (p *patient) inNetwork(t *testing.T, command ...string) {
	t.Helper()
	if _, err := p.enter(t.Context(), "--net", command...); err != nil {
		t.Fatal(err)
	}
}

// inside runs a command of the host's in the machine.
func (p *patient) inside(t *testing.T, command ...string) {
	t.Helper()
	if _, err := p.enter(t.Context(), "--all", command...); err != nil {
		t.Fatal(err)
	}
}

// enter runs a command in namespaces of the machine's, also in a cleanup, and returns what it says.
func (p *patient) enter(ctx context.Context, namespaces string, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nsenter", append([]string{"--target", p.init, namespaces, "--"}, command...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w: %s", strings.Join(command, " "), p.node, err, out)
	}
	return string(out), nil
}

// process is the process ID of a component, on the host.
func (p *patient) process(t *testing.T, component string) int {
	t.Helper()
	c, err := world.component(t.Context(), p.node, component)
	if err != nil || c.PID == nil {
		t.Fatalf("%s on %s: %+v, %v", component, p.node, c, err)
	}
	return world.hostPID(t, p.node, *c.PID)
}

// processes are the first ones of a pod's containers and of its sandbox, by the cgroups that they are in.
func processes(t *testing.T, pod *corev1.Pod) []int {
	t.Helper()
	all := must[[]int](t)(processesOf(pod))
	if len(all) < 2 {
		t.Fatalf("pod %s has the processes %v, want its container's and its sandbox's", pod.Name, all)
	}
	return all
}

func processesOf(pod *corev1.Pod) (all []int, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		if first := regexp.MustCompile(`(?m)^NSpid:.*\s1$`); strings.Contains(string(groups), "pod"+string(pod.UID)) && first.Match(status) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all, err
}

// calls asks for URLs over and over, and counts.
type calls struct {
	stop func()
	done sync.WaitGroup

	mu     sync.Mutex
	asked  int
	failed []string
}

// call begins to ask the node's pod.
func (p *patient) call(t *testing.T) *calls {
	t.Helper()
	return call(t, p.url)
}

// call begins to ask for URLs, one after the other.
func call(t *testing.T, urls ...string) *calls {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &calls{stop: stop}
	// Each call takes a connection of its own: one that exists already would not notice what becomes of the rules.
	asker := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	c.done.Go(func() {
		for i, tick := 0, time.Tick(50*time.Millisecond); ctx.Err() == nil; i, _ = i+1, <-tick {
			began, url := time.Now(), urls[i%len(urls)]
			err := getWith(ctx, asker, url)
			if ctx.Err() != nil {
				return
			}
			c.mu.Lock()
			c.asked++
			if err != nil {
				c.failed = append(c.failed, fmt.Sprintf("%s: %v", began.Format("15:04:05.000"), err))
			}
			c.mu.Unlock()
		}
	})
	t.Cleanup(func() { c.end() })
	return c
}

// end ends the asking, and says how often nobody answered, out of how often.
func (c *calls) end() (failed []string, asked int) {
	c.stop()
	c.done.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed, c.asked
}

// well says what keeps a node from being called well: its agent's word, which is no older than since, and its Node.
func (p *patient) well(ctx context.Context) error {
	agent := &fleetv1.NodeAgent{}
	if err := world.Get(ctx, client.ObjectKey{Name: p.node}, agent); err != nil {
		return err
	}
	for _, c := range agent.Status.Components {
		if c.Name != fleetv1.ComponentNetwork && (c.State != fleetv1.ComponentRunning || ptr.Deref(c.PID, 0) == 0) {
			return fmt.Errorf("%s is %s", c.Name, c.State)
		}
	}
	if !isTrue(agent.Status.Conditions, fleetv1.ReadyCondition) {
		return fmt.Errorf("conditions are %s", describe(agent.Status.Conditions))
	}
	node, err := world.node(ctx, p.node)
	if err == nil && !nodeReady(node) {
		err = fmt.Errorf("the Node is not ready")
	}
	return err
}
