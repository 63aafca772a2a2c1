package status

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	isReady   = v1alpha1.ReadyCondition
	runtime   = v1alpha1.RuntimeHealthyCondition
	kubelet   = v1alpha1.KubeletHealthyCondition
	proxy     = v1alpha1.ProxyHealthyCondition
	podNet    = v1alpha1.NetworkHealthyCondition
	disk      = v1alpha1.DiskHealthyCondition
	clockSync = v1alpha1.ClockSynchronizedCondition
)

var now = time.Unix(1_000_000, 0)

// process is a component that was started a while ago.
func process(name string, state v1alpha1.ComponentState) v1alpha1.ComponentStatus {
	c := v1alpha1.ComponentStatus{Name: name, State: state, StartedAt: metav1.NewTime(now.Add(-time.Hour))}
	if state == v1alpha1.ComponentRunning || state == v1alpha1.ComponentStarting {
		c.PID = ptr.To(int32(4711))
	}
	return c
}

// processes are those of a node that is well, but for some.
func processes(except ...v1alpha1.ComponentStatus) []v1alpha1.ComponentStatus {
	var all []v1alpha1.ComponentStatus
	for _, name := range []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy} {
		c := process(name, v1alpha1.ComponentRunning)
		for _, e := range except {
			if e.Name == name {
				c = e
			}
		}
		all = append(all, c)
	}
	return all
}

// killed is a component that a signal has ended.
func killed(name string) v1alpha1.ComponentStatus {
	c := process(name, v1alpha1.ComponentBackOff)
	c.LastExit = &v1alpha1.ComponentExit{Signal: "SIGKILL"}
	return c
}

// situation is a node at one moment.
type situation struct {
	processes []v1alpha1.ComponentStatus
	spec      v1alpha1.NodeAgentSpec
	// answers are what the probes that fail say, by their conditions, and unasked are those that have no answer yet.
	answers map[string]error
	unasked []string
	// unprobed says that no probe is at work yet.
	unprobed bool
	obstacle *generation.Obstacle
	cert     *Certificate
	// exhausted is the process that restarts did not mend.
	exhausted string
}

func (s situation) observe() Observed {
	o := Observed{Now: now, Generation: 3, Components: s.processes, Proxy: s.spec.Proxy.Mode, Obstacle: s.obstacle, Certificate: s.cert, Serving: true}
	if s.unprobed {
		return o
	}
	for _, p := range Probes(&s.spec, Checks{}) {
		e := health.Evidence{Asked: true, Err: s.answers[p.Condition], Now: now}
		for _, name := range s.unasked {
			e.Asked = e.Asked && name != p.Condition
		}
		for _, c := range s.processes {
			if c.Name == p.Component {
				e.Component = &c
				if c.Name == s.exhausted {
					e.Exhausted = "10 restarts did not mend it"
				}
			}
		}
		o.Probed = append(o.Probed, p.Judge(e))
	}
	return o
}

func TestWhichConditionHoldsAndWhy(t *testing.T) {
	noSocket := errors.New("dial unix /run/drover/containerd.sock: no such file or directory")
	notProbed := func(status string) map[string]string {
		all := map[string]string{}
		for _, name := range parts {
			all[name] = status
		}
		return all
	}
	var external, noProxy v1alpha1.NodeAgentSpec
	external.Network.Mode, noProxy.Proxy.Mode = v1alpha1.NetworkModeExternal, v1alpha1.ProxyModeNone
	preflight := &generation.Obstacle{Reason: v1alpha1.ReasonPreflightFailed, Message: "Memory: 100 MiB are too little"}
	fetch := &generation.Obstacle{Reason: v1alpha1.ReasonBundleFetchFailed, Message: "digest mismatch"}
	goesOn := &generation.Obstacle{Reason: v1alpha1.ReasonBundleFetchFailed, Message: "no route", Running: true}

	for name, c := range map[string]struct {
		reason string
		situation
		// want are the conditions that are not True with the reason Healthy.
		want map[string]string
	}{
		"all is well": {reason: "every part says so", situation: situation{processes: processes()}, want: map[string]string{}},
		"no proxy":    {reason: "what the template turned off is well", situation: situation{processes: processes()[:2], spec: noProxy}, want: map[string]string{proxy: "True Disabled: turned off by the pool's template"}},
		"a network of the user's": {reason: "ours has nothing to answer for", situation: situation{processes: processes(), spec: external, answers: map[string]error{podNet: errors.New("no routes")}},
			want: map[string]string{podNet: "True Disabled: turned off by the pool's template"}},

		"the first moment": {reason: "nothing was asked, so nothing is known", situation: situation{unprobed: true}, want: func() map[string]string {
			all := notProbed("Unknown Starting: Not probed yet")
			all[isReady] = "False Starting: RuntimeHealthy: Not probed yet; KubeletHealthy: Not probed yet; ProxyHealthy: Not probed yet; NetworkHealthy: Not probed yet; DiskHealthy: Not probed yet; ClockSynchronized: Not probed yet"
			return all
		}()},
		"a machine that is unfit": {reason: "it is known why nothing runs", situation: situation{unprobed: true, obstacle: preflight}, want: func() map[string]string {
			all := notProbed("Unknown PreflightFailed: Memory: 100 MiB are too little")
			all[isReady] = "False PreflightFailed: Memory: 100 MiB are too little"
			return all
		}()},
		"a bundle that cannot be had": {reason: "the sum says why nothing is started; the machine itself was looked at", situation: situation{
			obstacle: fetch, answers: map[string]error{podNet: &health.Failure{Reason: v1alpha1.ReasonStarting, Message: "The Nodes are not known yet"}},
		}, want: map[string]string{
			isReady: "False BundleFetchFailed: digest mismatch",
			podNet:  "False Starting: The Nodes are not known yet",
			runtime: "False Starting: containerd is not started yet",
			kubelet: "False Starting: kubelet is not started yet",
			proxy:   "False Starting: kube-proxy is not started yet",
		}},
		"a change that cannot be made": {reason: "what runs is as well as it was", situation: situation{processes: processes(), obstacle: goesOn}, want: map[string]string{
			isReady: "True Healthy: Every component is healthy; the state before goes on, because the one wanted could not be installed: no route",
		}},
		"a change that cannot be made on an ill node": {reason: "both are told", situation: situation{processes: processes(killed(v1alpha1.ComponentKubelet)), obstacle: goesOn}, want: map[string]string{
			isReady: "False ComponentsUnhealthy: KubeletHealthy: kubelet was ended by SIGKILL and is about to be started again; the state before goes on, because the one wanted could not be installed: no route",
			kubelet: "False Exited: kubelet was ended by SIGKILL and is about to be started again",
		}},

		"a node that joins": {reason: "what waits and what starts is no failure", situation: situation{
			processes: processes(process(v1alpha1.ComponentContainerd, v1alpha1.ComponentStarting), process(v1alpha1.ComponentKubelet, v1alpha1.ComponentWaiting))[:2],
			answers:   map[string]error{runtime: noSocket, podNet: &health.Failure{Reason: v1alpha1.ReasonStarting, Message: "The Nodes are not known yet"}},
			unasked:   []string{clockSync},
		}, want: map[string]string{
			isReady: "False Starting: RuntimeHealthy: containerd was started and is not healthy yet: dial unix /run/drover/containerd.sock: no such file or directory; KubeletHealthy: kubelet waits for what it depends on; " +
				"ProxyHealthy: kube-proxy is not started yet; NetworkHealthy: The Nodes are not known yet; ClockSynchronized: not looked at yet",
			runtime:   "False Starting: containerd was started and is not healthy yet: dial unix /run/drover/containerd.sock: no such file or directory",
			kubelet:   "False WaitingForDependency: kubelet waits for what it depends on",
			proxy:     "False Starting: kube-proxy is not started yet",
			podNet:    "False Starting: The Nodes are not known yet",
			clockSync: "Unknown Starting: not looked at yet",
		}},
		"an adopted node": {reason: "an agent that was just started has not asked what runs", situation: situation{processes: processes(), unasked: []string{kubelet}}, want: map[string]string{
			isReady: "False Starting: KubeletHealthy: not looked at yet",
			kubelet: "Unknown Starting: not looked at yet",
		}},

		"a killed containerd": {reason: "the kubelet that needs it answers for itself", situation: situation{
			processes: processes(killed(v1alpha1.ComponentContainerd)), answers: map[string]error{kubelet: errors.New("kubelet says 500: syncloop")},
		}, want: map[string]string{
			isReady: "False ComponentsUnhealthy: RuntimeHealthy: containerd was ended by SIGKILL and is about to be started again; KubeletHealthy: kubelet says 500: syncloop",
			runtime: "False Exited: containerd was ended by SIGKILL and is about to be started again",
			kubelet: "False ProbeFailed: kubelet says 500: syncloop",
		}},
		"one that restarts do not mend": {reason: "it comes first, with its reason, as whoever quotes the sum cuts its end off", situation: situation{
			processes: processes(killed(v1alpha1.ComponentKubeProxy)), answers: map[string]error{kubelet: errors.New("kubelet says 500")}, exhausted: v1alpha1.ComponentKubeProxy,
		}, want: map[string]string{
			isReady: "False RepairExhausted: ProxyHealthy: kube-proxy was ended by SIGKILL; 10 restarts did not mend it; KubeletHealthy: kubelet says 500",
			kubelet: "False ProbeFailed: kubelet says 500",
			proxy:   "False RepairExhausted: kube-proxy was ended by SIGKILL; 10 restarts did not mend it",
		}},
		"one that starts beside one that failed": {reason: "in whichever order they are listed", situation: situation{
			processes: processes(killed(v1alpha1.ComponentKubelet), process(v1alpha1.ComponentKubeProxy, v1alpha1.ComponentStopped)),
		}, want: map[string]string{
			isReady: "False ComponentsUnhealthy: KubeletHealthy: kubelet was ended by SIGKILL and is about to be started again; ProxyHealthy: kube-proxy was stopped to be started with another configuration",
			kubelet: "False Exited: kubelet was ended by SIGKILL and is about to be started again",
			proxy:   "False Starting: kube-proxy was stopped to be started with another configuration",
		}},
		"one that failed beside one that starts": {reason: "the node is not just starting", situation: situation{
			processes: processes(process(v1alpha1.ComponentKubelet, v1alpha1.ComponentStopped), killed(v1alpha1.ComponentKubeProxy)),
		}, want: map[string]string{
			isReady: "False ComponentsUnhealthy: KubeletHealthy: kubelet was stopped to be started with another configuration; ProxyHealthy: kube-proxy was ended by SIGKILL and is about to be started again",
			kubelet: "False Starting: kubelet was stopped to be started with another configuration",
			proxy:   "False Exited: kube-proxy was ended by SIGKILL and is about to be started again",
		}},
		"a kubelet that hangs": {reason: "its process is there, its answer is not", situation: situation{processes: processes(), answers: map[string]error{kubelet: errors.New("kubelet does not answer: context deadline exceeded")}},
			want: map[string]string{
				isReady: "False ComponentsUnhealthy: KubeletHealthy: kubelet does not answer: context deadline exceeded",
				kubelet: "False ProbeFailed: kubelet does not answer: context deadline exceeded",
			}},
		"a kubelet without its Node": {reason: "it answers as if all were well", situation: situation{processes: processes(), answers: map[string]error{kubelet: &health.Failure{Reason: v1alpha1.ReasonNodeNotRegistered, Message: "there is no Node n"}}},
			want: map[string]string{isReady: "False ComponentsUnhealthy: KubeletHealthy: there is no Node n", kubelet: "False NodeNotRegistered: there is no Node n"}},
		"a full disk and a wrong clock": {reason: "the machine's own parts have reasons of their own", situation: situation{processes: processes(), answers: map[string]error{
			disk: &health.Failure{Reason: v1alpha1.ReasonDiskPressure, Message: "full"}, clockSync: &health.Failure{Reason: v1alpha1.ReasonClockSkewed, Message: "ahead"},
		}}, want: map[string]string{isReady: "False ComponentsUnhealthy: DiskHealthy: full; ClockSynchronized: ahead", disk: "False DiskPressure: full", clockSync: "False ClockSkewed: ahead"}},
		"a pod network that is broken": {reason: "the node is not Ready without it", situation: situation{processes: processes(), answers: map[string]error{podNet: &health.Failure{Reason: v1alpha1.ReasonProbeFailed, Message: "The route is gone"}}},
			want: map[string]string{isReady: "False ComponentsUnhealthy: NetworkHealthy: The route is gone", podNet: "False ProbeFailed: The route is gone"}},

		"a certificate that is not renewed": {reason: "the node works yet, and who reads the sum is told", situation: situation{processes: processes(), cert: &Certificate{NotAfter: now, Overdue: true}}, want: map[string]string{
			isReady: "True Healthy: Every component is healthy; the agent's certificate ends " + now.UTC().Format(time.RFC3339) +
				" and was not renewed: the agent, and kube-proxy with it, is shut out then; see whether its request is approved (kubectl get csr)",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := map[string]string{}, map[string]string{}
			for _, condition := range Report(v1alpha1.NodeAgentStatus{}, c.observe()).Conditions {
				got[condition.Type] = string(condition.Status) + " " + condition.Reason
				if want[condition.Type] = "True Healthy"; c.want[condition.Type] != "" {
					got[condition.Type] += ": " + condition.Message
					want[condition.Type] = c.want[condition.Type]
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || len(got) != len(parts)+1 {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestANodeIsSettledOnceEveryPartWasLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		situation
		want bool
	}{
		"all well":         {"there is nothing left to wait for", situation{processes: processes()}, true},
		"one that failed":  {"an agent that was started again must not keep it for itself", situation{processes: processes(killed(v1alpha1.ComponentKubelet))}, true},
		"one that starts":  {"it may be well in a moment", situation{processes: processes(process(v1alpha1.ComponentKubelet, v1alpha1.ComponentStarting))}, false},
		"one that waits":   {"so may this", situation{processes: processes(process(v1alpha1.ComponentKubelet, v1alpha1.ComponentWaiting))}, false},
		"one not asked":    {"nothing is known of it", situation{processes: processes(), unasked: []string{clockSync}}, false},
		"the first moment": {"nothing is known at all", situation{unprobed: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Settled(c.observe().Probed); got != c.want {
				t.Errorf("got %v, want %v: %s", got, c.want, c.reason)
			}
		})
	}
	probed := situation{processes: processes()}.observe().Probed
	probed[0].Status, probed[0].Reason = metav1.ConditionUnknown, "Other"
	if Settled(probed) {
		t.Error("nothing is known of a part, for whatever reason")
	}
}
