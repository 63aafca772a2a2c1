package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// fault is something that breaks on a node.
type fault struct {
	name string
	// breaks makes it so, for real.
	breaks func(*testing.T, *patient)
	// told says that the node's agent tells of it, by its status now and before. Nil: there is nobody who could.
	told func(before, now *fleetv1.NodeAgent) bool
	// mended says what is still broken beside what the agent tells; nil: nothing else.
	mended func(context.Context, *patient) error
	// within is how long it may take until all is well again. Default: a minute.
	within time.Duration
	// unanswered says why calls of the pod may fail while it lasts; empty: none may.
	unanswered string
}

// ward is a node, in a pool of its own, with the faults that befall it, one after the other. Those of several wards happen at the
// same time.
type ward struct {
	name   string
	faults []fault
}

func wards() []ward {
	var all []ward
	for _, name := range processNames { // these take longest
		all = append(all, ward{name + "-silence", []fault{hung(name)}})
	}
	all = append(all, []ward{
		{"processes", slices.Concat(killed(), []fault{agentKilled()})},
		{"rules", networkFaults()[:1]},
		{"network", networkFaults()[1:]},
		{"files", fileFaults()},
		{"journal", []fault{agentKilledAtEachStep()}},
		{"disk", []fault{fullDisk(), flippedByte()}}, // the first of which leaves the node with a bundle in a store of its own
	}...)
	for way, says := range map[string]string{"exits": "kubelet ended", "hangs": "does not answer", "errs": "kubelet says 500", "dies": "kubelet ended"} {
		all = append(all, ward{"kubelet-" + way, []fault{brokenKubelet(way, says)}})
	}
	return all
}

// testFaults breaks what can break on nodes that run pods, has each fault told and mended, and sees that no pod is disturbed.
func testFaults(t *testing.T) {
	record := &record{}
	t.Cleanup(func() { record.print(t) })
	t.Run("wards", func(t *testing.T) {
		for _, w := range wards() {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				p := newPatient(t, "e2e-faults-"+w.name)
				for _, f := range w.faults {
					t.Run(f.name, func(t *testing.T) { record.add(befall(t, p, f)) })
				}
			})
		}
	})
}

// outcome is how a fault went.
type outcome struct {
	name            string
	told, recovered time.Duration
	untold          bool
	disturbed       int
	failed, asked   int
}

// befall makes a fault on a node that is well, and waits until it is well again.
func befall(t *testing.T, p *patient, f fault) outcome {
	t.Helper()
	limit := f.within
	if limit == 0 {
		limit = time.Minute
	}
	eventually(t, time.Minute, p.node+" is well", p.well)
	before := world.agent(t, p.node)
	ran := map[string][]int{}
	for _, pod := range p.pods {
		ran[pod.Name] = processes(t, pod)
	}
	calls := p.call(t)
	began := time.Now()
	f.breaks(t, p)
	o := outcome{name: f.name, untold: f.told == nil}
	if f.told != nil {
		soon(t, limit, "the agent tells of it", func(context.Context) error {
			now := world.agent(t, p.node)
			return unless(f.told(before, now), "it says %s, and finds %+v", describe(now.Status.Conditions), now.Status.Findings)
		})
		o.told = time.Since(began)
	}
	soon(t, limit, "all is well again", func(ctx context.Context) error {
		if err := p.well(ctx); err != nil {
			return err
		}
		if f.mended != nil {
			return f.mended(ctx, p)
		}
		return nil
	})
	o.recovered = time.Since(began)
	failures, asked := calls.end()
	o.failed, o.asked = len(failures), asked
	if asked == 0 && f.unanswered == "" {
		t.Error("nobody called the pod")
	}
	if len(failures) > 0 && f.unanswered == "" {
		t.Errorf("%d of %d calls failed: %s", len(failures), asked, strings.Join(failures[:min(len(failures), 5)], "; "))
	}
	for _, pod := range p.pods {
		if now := processes(t, pod); !slices.Equal(now, ran[pod.Name]) {
			o.disturbed++
			t.Errorf("pod %s had the processes %v and has %v", pod.Name, ran[pod.Name], now)
		}
	}
	return o
}

// record collects the outcomes of all wards.
type record struct {
	mu       sync.Mutex
	outcomes []outcome
}

func (r *record) add(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes = append(r.outcomes, o)
}

// print prints the table, also to where `make faults` reads it.
func (r *record) print(t *testing.T) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "FAULT\tTOLD AFTER\tWELL AGAIN AFTER\tDISTURBED PODS\tFAILED CALLS")
	slices.SortFunc(r.outcomes, func(a, b outcome) int { return strings.Compare(a.name, b.name) })
	for _, o := range r.outcomes {
		told := fmt.Sprintf("%.2f s", o.told.Seconds())
		if o.untold {
			told = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.2f s\t%d\t%d of %d\n", o.name, told, o.recovered.Seconds(), o.disturbed, o.failed, o.asked)
	}
	_ = w.Flush()
	t.Log("\n" + text.String())
	if err := os.WriteFile(filepath.Join(world.Root, ".drover", "faults.txt"), []byte(text.String()), 0o644); err != nil {
		t.Error(err)
	}
}

// componentOf is what a status says of a component.
func componentOf(agent *fleetv1.NodeAgent, name string) fleetv1.ComponentStatus {
	for _, c := range agent.Status.Components {
		if c.Name == name {
			return c
		}
	}
	return fleetv1.ComponentStatus{}
}

// ended says that a status tells of a process' end by a signal that an earlier one did not tell of.
func ended(component, signal string) func(before, now *fleetv1.NodeAgent) bool {
	return func(before, now *fleetv1.NodeAgent) bool {
		was, is := componentOf(before, component), componentOf(now, component)
		return is.LastExit != nil && is.LastExit.Signal == signal && (is.State != fleetv1.ComponentRunning || ptr.Deref(is.PID, 0) != ptr.Deref(was.PID, 0))
	}
}

var processNames = []string{fleetv1.ComponentContainerd, fleetv1.ComponentKubelet, fleetv1.ComponentKubeProxy}

func killed() []fault {
	var all []fault
	for _, name := range processNames {
		all = append(all, fault{
			name:   name + " is killed",
			breaks: func(t *testing.T, p *patient) { kill(t, p.process(t, name)) },
			told:   ended(name, "SIGKILL"),
		})
	}
	return all
}

// hung are processes that are there and answer nothing. They are all stopped before the first is restarted.
func hung(name string) fault {
	return fault{
		name: name + " hangs",
		breaks: func(t *testing.T, p *patient) {
			if err := syscall.Kill(p.process(t, name), syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		},
		told: func(_, now *fleetv1.NodeAgent) bool { return !isTrue(now.Status.Conditions, fleetv1.ReadyCondition) },
		mended: func(ctx context.Context, p *patient) error {
			c, err := world.component(ctx, p.node, name)
			if err != nil {
				return err
			}
			return unless(c.LastExit != nil && c.LastExit.Reason == fleetv1.ReasonHung, "it was not restarted because it hung: %+v", c.LastExit)
		},
		within: 2 * time.Minute,
	}
}

func agentKilled() fault {
	return fault{
		name:   "the agent is killed",
		breaks: func(t *testing.T, p *patient) { kill(t, must[int](t)(world.agentPID(t, p.node))) },
		told: func(before, now *fleetv1.NodeAgent) bool {
			return !slices.Equal(milliseconds(before), milliseconds(now))
		},
	}
}

// milliseconds tell one life of an agent from the next.
func milliseconds(agent *fleetv1.NodeAgent) (all []int64) {
	for _, step := range agent.Status.BootTimeline {
		all = append(all, ptr.Deref(step.Milliseconds, 0))
	}
	return all
}

// differs says that a condition is not True, or was not for a while since: what is mended within a second may be over before anybody
// looks.
func differs(condition string) func(_, now *fleetv1.NodeAgent) bool {
	return func(before, now *fleetv1.NodeAgent) bool {
		was, is := meta.FindStatusCondition(before.Status.Conditions, condition), meta.FindStatusCondition(now.Status.Conditions, condition)
		return is == nil || is.Status != metav1.ConditionTrue || was != nil && was.LastTransitionTime.Before(&is.LastTransitionTime)
	}
}

// found says that a status has a finding whose message has a part.
func found(name, part string) func(_, now *fleetv1.NodeAgent) bool {
	return func(_, now *fleetv1.NodeAgent) bool {
		return slices.ContainsFunc(now.Status.Findings, func(f fleetv1.Finding) bool {
			return f.Name == name && strings.Contains(f.Message, part)
		})
	}
}

// either says that one of two is so.
func either(one, other func(before, now *fleetv1.NodeAgent) bool) func(before, now *fleetv1.NodeAgent) bool {
	return func(before, now *fleetv1.NodeAgent) bool { return one(before, now) || other(before, now) }
}

func answers(ctx context.Context, p *patient) error { return get(ctx, p.url) }

const cutOff = "there is no way to the pod meanwhile"

func networkFaults() []fault {
	return []fault{
		{
			name:   "all rules of the kernel are flushed",
			breaks: func(t *testing.T, p *patient) { p.inNetwork(t, "nft", "flush", "ruleset") },
			told:   either(differs(fleetv1.ProxyHealthyCondition), found("ProxyRulesLost", "")), mended: answers, unanswered: cutOff,
		},
		{
			name:   "the pods' bridge is deleted",
			breaks: func(t *testing.T, p *patient) { p.inNetwork(t, "ip", "link", "delete", "cni0") },
			told:   found("NetworkMended", "cni0"), mended: answers, unanswered: cutOff,
		},
		{
			name:   "forwarding is turned off",
			breaks: func(t *testing.T, p *patient) { p.inNetwork(t, "sysctl", "-qw", "net.ipv4.ip_forward=0") },
			told:   found("NetworkMended", "ip_forward"), mended: answers, unanswered: cutOff,
		},
		{
			name: "the API server is out of reach for 10 seconds",
			breaks: func(t *testing.T, p *patient) {
				table := "drover_fault"
				p.inNetwork(t, "nft", fmt.Sprintf("table inet %[1]s { chain output { type filter hook output priority 0; tcp dport 6443 drop; }; }", table))
				open := sync.OnceFunc(func() { p.inNetwork(t, "nft", "delete", "table", "inet", table) })
				t.Cleanup(open)
				watch(t, 10*time.Second, "the node goes on without the API server", func() error {
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					defer cancel()
					return get(ctx, p.url)
				})
				open()
			},
		},
	}
}

// watch fails when something is not so at any time of a while.
func watch(t *testing.T, while time.Duration, what string, check func() error) {
	t.Helper()
	for end := time.Now().Add(while); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		if err := check(); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
	}
}

// fileFaults are what somebody does to the files of a node.
func fileFaults() []fault {
	return []fault{
		{
			name: "containerd's socket is removed",
			breaks: func(t *testing.T, p *patient) {
				if err := os.Remove(p.path("/run/containerd/containerd.sock")); err != nil {
					t.Fatal(err)
				}
			},
			told: differs(fleetv1.RuntimeHealthyCondition), within: 2 * time.Minute,
		},
		{
			name:   "the kubelet's configuration is edited",
			breaks: func(t *testing.T, p *patient) { p.add(t, "/etc/drover/components/kubelet.yaml", "maxPods: 1\n") },
			told:   found("DriftRepaired", "kubelet.yaml"),
			mended: func(_ context.Context, p *patient) error {
				return p.lacks("/etc/drover/components/kubelet.yaml", "maxPods: 1\n")
			},
		},
		{
			name: "the CNI configuration is removed",
			breaks: func(t *testing.T, p *patient) {
				if err := os.Remove(p.path("/etc/cni/net.d/10-drover.conflist")); err != nil {
					t.Fatal(err)
				}
			},
			told:   found("DriftRepaired", "10-drover.conflist"),
			mended: func(_ context.Context, p *patient) error { return p.has("/etc/cni/net.d/10-drover.conflist") },
		},
		{
			name:   "a kernel parameter is set",
			breaks: func(t *testing.T, p *patient) { p.inNetwork(t, "sysctl", "-qw", parameter+"=128") },
			told:   found("DriftRepaired", parameter),
			mended: func(_ context.Context, p *patient) error {
				value, err := p.enter(context.Background(), "--net", "sysctl", "-n", parameter)
				return errors.Join(err, unless(strings.TrimSpace(value) == parameterValue, "it is %s", value))
			},
		},
	}
}

// parameter is one that each network namespace has for itself, and that the pools of the suite set.
const parameter, parameterValue = "net.core.somaxconn", "512"

// brokenKubelet gives a node a bundle whose kubelet does not work.
func brokenKubelet(way, says string) fault {
	return fault{
		name: "the kubelet of another bundle " + way,
		breaks: func(t *testing.T, p *patient) {
			version := world.bundle(t, "-"+way)
			world.edit(t, p.pool, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = version })
		},
		told: func(_, now *fleetv1.NodeAgent) bool {
			failed := now.Status.FailedRevision
			return now.Status.Phase == fleetv1.PhaseRolledBack && failed != nil && failed.Component == fleetv1.ComponentKubelet && strings.Contains(failed.Message, says)
		},
		mended: func(ctx context.Context, p *patient) error {
			var pool fleetv1.NodePool
			if err := world.Get(ctx, client.ObjectKey{Namespace: "default", Name: p.pool}, &pool); err != nil {
				return err
			}
			for _, c := range pool.Status.Conditions {
				if c.Type == fleetv1.StalledCondition && c.Reason == fleetv1.ReasonRolledBack && strings.Contains(c.Message, p.node) && strings.Contains(c.Message, says) {
					return nil
				}
			}
			return fmt.Errorf("the pool does not say so: %s", describe(pool.Status.Conditions))
		},
		within: 5 * time.Minute,
	}
}

// agentKilledAtEachStep ends the agent right after each step of a change that it takes down in its journal, in a change for each.
func agentKilledAtEachStep() fault {
	return fault{
		name: "the agent is killed at each step of a change",
		breaks: func(t *testing.T, p *patient) {
			journal := p.path("/var/lib/drover/generations/journal")
			for step := 1; step <= 2; step++ {
				maxPods := int32(40 + step)
				killed := killAtWrite(t, p, journal, step)
				world.edit(t, p.pool, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Kubelet.MaxPods = &maxPods })
				eventually(t, nodesDeadline, "the change that the agent was killed in is made", func(ctx context.Context) error {
					node, err := world.node(ctx, p.node)
					if err != nil {
						return err
					}
					agent := world.agent(t, p.node)
					return unless(node.Status.Capacity.Pods().Value() == int64(maxPods) && agent.Status.Phase == fleetv1.PhaseCommitted && agent.Status.ObservedGeneration == agent.Generation,
						"the node has room for %s pods, and its revision is %s", node.Status.Capacity.Pods(), agent.Status.Phase)
				})
				if !killed() {
					t.Errorf("a change has no step %d", step)
				}
			}
		},
		within: nodesDeadline,
	}
}

// killAtWrite kills the agent of a node when a file was replaced so many times from now on. What it returns says whether it was,
// and ends the watch.
func killAtWrite(t *testing.T, p *patient, file string, times int) (killed func() bool) {
	t.Helper()
	identity := func() uint64 {
		var stat syscall.Stat_t
		if syscall.Stat(file, &stat) != nil {
			return 0
		}
		return stat.Ino<<20 ^ uint64(stat.Mtim.Nano())
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	result := make(chan bool, 1)
	last := identity()
	agent := must[int](t)(world.agentPID(t, p.node))
	go func() {
		for seen := 0; ctx.Err() == nil; <-time.After(time.Millisecond) {
			if now := identity(); now != last && now != 0 {
				last = now
				if seen++; seen == times {
					result <- syscall.Kill(agent, syscall.SIGKILL) == nil
					return
				}
			}
		}
		result <- false
	}()
	return func() bool { stop(); return <-result }
}

// fullDisk has a node fetch a bundle that there is no room for.
func fullDisk() fault {
	const bundles, image = "/var/lib/drover/bundles", "/var/lib/drover-full.img"
	return fault{
		name: "the disk is full while a bundle is fetched",
		breaks: func(t *testing.T, p *patient) {
			version := world.bundle(t, "v1.37.1")
			p.inside(t, "sh", "-ec", "truncate -s 16M "+image+"; mkfs.ext4 -q "+image+"; mount -o loop "+image+" "+bundles)
			empty := sync.OnceFunc(func() { p.inside(t, "sh", "-ec", "umount -l "+bundles+"; rm "+image) }) // an agent that tries again keeps it busy
			t.Cleanup(empty)
			world.edit(t, p.pool, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = version })
			eventually(t, nodesDeadline, "the node says that its disk is full", func(context.Context) error {
				agent := world.agent(t, p.node)
				return unless(strings.Contains(describe(agent.Status.Conditions), "no space left on device"), "it says %s", describe(agent.Status.Conditions))
			})
			empty()
		},
		mended: func(ctx context.Context, p *patient) error {
			node, err := world.node(ctx, p.node)
			if err != nil {
				return err
			}
			return unless(node.Status.NodeInfo.KubeletVersion == "v1.37.1", "the node runs %s", node.Status.NodeInfo.KubeletVersion)
		},
		within: nodesDeadline,
	}
}

// flippedByte changes a program of the node's bundle.
func flippedByte() fault {
	const program = "/var/lib/drover/bundles/*/bin/runc"
	var before []byte
	return fault{
		name: "a byte of a program is flipped",
		breaks: func(t *testing.T, p *patient) {
			files := must[[]string](t)(filepath.Glob(p.path(program)))
			if len(files) != 1 {
				t.Fatalf("the programs are %v", files)
			}
			before = must[[]byte](t)(os.ReadFile(files[0]))
			flipped := slices.Clone(before)
			flipped[len(flipped)/2] ^= 1
			if err := os.WriteFile(files[0], flipped, 0); err != nil { // the same file, with the mode that it has
				t.Fatal(err)
			}
		},
		told: found("DriftRepaired", "bundle"),
		mended: func(_ context.Context, p *patient) error {
			files, err := filepath.Glob(p.path(program))
			if err != nil || len(files) != 1 {
				return fmt.Errorf("the programs are %v: %w", files, err)
			}
			now, err := os.ReadFile(files[0])
			return errors.Join(err, unless(bytes.Equal(now, before), "it is another one"))
		},
	}
}

// bundle applies the NodeBundle of the version that ends so, which a build left among the samples, and returns the version.
func (w *World) bundle(t *testing.T, suffix string) string {
	t.Helper()
	files := must[[]string](t)(filepath.Glob(filepath.Join(w.Root, ".drover", "samples", "nodebundle-v*"+suffix+".yaml")))
	if suffix[0] == 'v' {
		files = []string{filepath.Join(w.Root, ".drover", "samples", "nodebundle-"+suffix+".yaml")}
	}
	if len(files) != 1 {
		t.Fatalf("there are the bundles %v: run make bundles faulty-bundles", files)
	}
	bundle := &fleetv1.NodeBundle{}
	if err := yaml.UnmarshalStrict(must[[]byte](t)(os.ReadFile(files[0])), bundle); err != nil {
		t.Fatal(err)
	}
	version := bundle.Spec.KubernetesVersion
	if err := w.Create(t.Context(), bundle); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	return version
}
