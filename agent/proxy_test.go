package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAKubeProxyIsAskedForTheRulesOfItsOwnMode(t *testing.T) {
	var r proxyRun
	proxy := func(state v1alpha1.ComponentState, started int64) []v1alpha1.ComponentStatus {
		return []v1alpha1.ComponentStatus{{Name: v1alpha1.ComponentKubeProxy, State: state, StartedAt: metav1.NewTime(time.Unix(started, 0))}}
	}
	for _, c := range []struct {
		reason     string
		mode       v1alpha1.ProxyMode
		components []v1alpha1.ComponentStatus
		want       bool
	}{
		{"there is none yet", v1alpha1.ProxyModeNFTables, nil, false},
		{"it does not answer yet", v1alpha1.ProxyModeNFTables, proxy(v1alpha1.ComponentStarting, 1), false},
		{"it does", v1alpha1.ProxyModeNFTables, proxy(v1alpha1.ComponentRunning, 1), true},
		{"it is the one of the mode before", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentRunning, 1), false},
		{"its successor starts", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentStarting, 2), false},
		{"and answers", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentRunning, 2), true},
		{"a restart in the same mode is nothing new", v1alpha1.ProxyModeIPTables, proxy(v1alpha1.ComponentRunning, 3), true},
	} {
		if got := r.settled(c.mode, c.components); got != c.want {
			t.Errorf("%s: got %t", c.reason, got)
		}
	}
}

func TestAKubeProxyOfAnEarlierAgentGoesOnWhenTheAPIServerIsBack(t *testing.T) {
	a, _ := machine(t)
	supervising(t, a, "exec sleep 600", nil)
	var asked atomic.Int32
	begun := filepath.Join(t.TempDir(), "begun")
	if err := a.supervise.Apply([]supervise.Process{{
		Name: v1alpha1.ComponentKubeProxy, Path: "/bin/sh", Args: []string{"-c", "echo once >> " + begun + "; exec sleep 600"}, LogFile: filepath.Join(a.paths.LogDir, "kube-proxy.log"),
		StopTimeout: time.Second, Ready: func(context.Context) error { asked.Add(1); return errors.New("it has no Services yet") },
	}}); err != nil {
		t.Fatal(err)
	}
	times := func() int {
		text, _ := os.ReadFile(begun)
		return strings.Count(string(text), "once")
	}
	// Whatever was asked of the supervisor before is done when it has asked the process three times more.
	later := func() int {
		t.Helper()
		for until, deadline := asked.Load()+3, time.Now().Add(20*time.Second); asked.Load() < until || times() == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nobody asks kube-proxy any more")
			}
		}
		return times()
	}
	if n := later(); n != 1 {
		t.Fatalf("it was started %d times", n)
	}
	was := a.started
	a.started = time.Now().Add(time.Hour)
	a.serverIsBack()
	if n := later(); n != 1 {
		t.Errorf("one that an earlier agent started was started %d times", n)
	}
	a.started = was
	a.serverIsBack()
	if n := later(); n != 2 {
		t.Errorf("one that this agent started, and that has no answer, was started %d times, want once more", n)
	}
}
