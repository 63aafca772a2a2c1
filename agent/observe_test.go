package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// withKubelet is an agent whose kubelet is a script.
func withKubelet(t *testing.T, script string) *Agent {
	t.Helper()
	dir := t.TempDir()
	a, err := New(Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	a.paths = component.Paths{LogDir: dir, KubeletDir: filepath.Join(dir, "kubelet")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.supervise.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { // the context has ended by now, and the script goes on
		<-done
		if err := a.supervise.StopAll(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.supervise.Apply([]supervise.Process{{
		Name: v1alpha1.ComponentKubelet, Path: "/bin/sh", Args: []string{"-c", script + "\nexec sleep 600"}, LogFile: filepath.Join(dir, "kubelet.log"), StopTimeout: time.Second,
	}}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); status.KubeletStarted(a.supervise.Status()).IsZero(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the kubelet never started")
		}
	}
	return a
}

const refusal = `E1129 06:56:49.123456    4711 kubelet_node_status.go:108] "Unable to register node with API server" err="admission webhook \"nodes.example.com\" denied the request: password=hunter2222" node="node-1"`

func TestAKubeletThatMayNotRegisterItsNodeSaysWhy(t *testing.T) {
	a := withKubelet(t, "cat <<'END'\n"+refusal+"\nE1129 06:56:50.000000    4711 kubelet.go:1] \"Error getting node\"\nEND\n")
	if err := a.nodeRegistered(t.Context()); err != nil {
		t.Errorf("%v, before it is known whether there is a Node", err)
	}
	a.setNode(health.Absent)
	if err := a.nodeRegistered(t.Context()); err != nil {
		t.Errorf("%v, though the kubelet has only just been started", err)
	}
	want := `there is no Node node-1: the kubelet says: "Unable to register node with API server" err="admission webhook \"nodes.example.com\" denied the request: password=[redacted]`
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := a.registration(time.Now().Add(time.Minute)).Failure()
		if err != nil && strings.HasPrefix(err.Error(), want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want %s", err, want)
		}
	}
	a.setNode(health.Present)
	if err := a.registration(time.Now().Add(time.Hour)).Failure(); err != nil {
		t.Errorf("%v, though the Node is there", err)
	}
}

func TestAKubeletWhoseNodeNobodyKnowsOfIsNotCalledHealthyForLong(t *testing.T) {
	a := withKubelet(t, "true")
	if err := a.nodeRegistered(t.Context()); err != nil {
		t.Errorf("%v, though the Nodes are only just being listed", err)
	}
	late := time.Now().Add(time.Minute)
	if err := a.registration(late).Failure(); err == nil || !strings.HasPrefix(err.Error(), "the Nodes are not known yet") {
		t.Errorf("got %v, want that the Nodes are not known", err)
	}
	a.started = late // an agent that adopts a kubelet has only just asked
	if err := a.registration(late).Failure(); err != nil {
		t.Errorf("%v, though the agent has only just been started", err)
	}
}

func TestAKubeletThatDoesNotSayWhyIsToldOfByItsLog(t *testing.T) {
	a := withKubelet(t, "true")
	a.setNode(health.Absent)
	if err := a.registration(time.Now().Add(time.Minute)).Failure(); err == nil || !strings.Contains(err.Error(), a.paths.LogDir+"/kubelet.log") {
		t.Errorf("got %v, want the place of the log", err)
	}
}

func TestTheCertificateThatAKubeletServesWithIsLookedForWhereItKeepsIt(t *testing.T) {
	a := withKubelet(t, "true")
	if o := a.observe(nil, time.Now()); o.Serving {
		t.Error("a certificate was seen before there is one")
	}
	path := filepath.Join(a.paths.KubeletCertDir(), "kubelet-server-current.pem")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if o := a.observe(nil, time.Now()); !o.Serving || status.KubeletStarted(o.Components).IsZero() {
		t.Errorf("got %+v, want a kubelet and its certificate", o)
	}
}

func TestTheStatusIsOfTheStateThatRunsAndOfWhatIsInTheWay(t *testing.T) {
	a, g := machine(t)
	a.bootstrap, g.ObservedGeneration, g.Spec.Proxy.Mode = &g.Bootstrap, 4, v1alpha1.ProxyModeNFTables
	full(a)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.installer.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	hindered := func(context.Context) (bool, error) { return a.hindered(), nil }
	if err := wait.PollUntilContextTimeout(ctx, time.Millisecond, time.Minute, true, hindered); err != nil {
		t.Fatal("a full disk is in nobody's way")
	}
	o := a.observe(nil, time.Now())
	if running := a.installer.Running().Spec.Cluster; o.ClusterHash != running.Hash() {
		t.Errorf("it goes by facts with the hash %q, want that of %+v", o.ClusterHash, running)
	}
	if o.Generation != 4 || o.Revision != "r1" || o.Proxy != v1alpha1.ProxyModeNFTables {
		t.Errorf("it is of generation %d, revision %s, %s", o.Generation, o.Revision, o.Proxy)
	}
	if o.Obstacle == nil || o.Obstacle.Reason != v1alpha1.ReasonPreflightFailed || !strings.Contains(o.Obstacle.Message, finding.DiskSpace) || o.Obstacle.Running {
		t.Errorf("%+v is in the way, want the full disk", o.Obstacle)
	}
	if failed := finding.Errors(o.Findings); len(failed) != 1 || !strings.Contains(failed[0], finding.DiskSpace) {
		t.Errorf("found %v, want the full disk", failed)
	}
}
