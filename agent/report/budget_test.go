package report

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

// dated is an object that knows when it was written, and what was new in it.
type dated struct {
	object
	mu    sync.Mutex
	times []time.Time
}

func (d *dated) PatchNodeAgentStatus(ctx context.Context, name string, patch []byte) (*v1alpha1.NodeAgent, error) {
	d.mu.Lock()
	d.times = append(d.times, time.Now())
	d.mu.Unlock()
	return d.object.PatchNodeAgentStatus(ctx, name, patch)
}

func (d *dated) when() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Time(nil), d.times...)
}

// simulate runs a reporter on a clock that goes as fast as there is nothing to do.
func simulate(t *testing.T, what func(*Reporter, *dated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &dated{}
		r := &Reporter{Node: "n", Log: logr.Discard(), Clock: clock.RealClock{}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx, o) }()
		what(r, o)
		cancel()
		<-done
	})
}

// busiestHour is how many writes the hour with the most of them has.
func busiestHour(times []time.Time) int {
	most, from := 0, 0
	for to := range times {
		for times[to].Sub(times[from]) > time.Hour {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

func TestNoHourHasMoreThanSixtyWrites(t *testing.T) {
	for name, c := range map[string]struct{ calm, every time.Duration }{
		"flapping each second": {0, time.Second},
		"after hours of calm":  {3 * time.Hour, time.Second},
		"and much faster":      {0, 100 * time.Millisecond},
		"and a bit slower":     {0, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(r *Reporter, o *dated) {
				r.Update(version("v1"))
				time.Sleep(c.calm)
				for began, i := time.Now(), 0; time.Since(began) < 3*time.Hour; i++ {
					r.Update(version(fmt.Sprint("flap ", i)))
					time.Sleep(c.every)
				}
				r.Update(version("last"))
				time.Sleep(writeEvery + 2*gather)
				if got := o.last("agentVersion"); got != `"last"` {
					t.Errorf("%s after the last change it says %s", writeEvery+2*gather, got)
				}
				if n := busiestHour(o.when()); n > 60 || n < 50 {
					t.Errorf("%d writes in an hour, want at most 60, and that the budget is used", n)
				}
			})
		})
	}
}

func TestAFlapBackToWhatWasWrittenCostsNothing(t *testing.T) {
	simulate(t, func(r *Reporter, o *dated) {
		for began, i := time.Now(), 0; time.Since(began) < time.Hour; i++ {
			r.Update(version(fmt.Sprint("flap ", i)))
			time.Sleep(time.Second)
		}
		synctest.Wait() // a write that is due at this very moment is made first
		r.Update(version(trimmed(o.last("agentVersion"))))
		before := len(o.when())
		time.Sleep(2 * time.Minute) // less than until the next heartbeat
		if n := len(o.when()); n != before {
			t.Errorf("%d writes of what is known already", n-before)
		}
	})
}

func trimmed(text string) string { return text[1 : len(text)-1] }

// A node that was calm for long has half of the burst known within half a second each, and the rest within the second.
func TestTheFirstNewsArePrompt(t *testing.T) {
	simulate(t, func(r *Reporter, o *dated) {
		r.Update(version("v1"))
		time.Sleep(time.Hour)
		for i := range writeBurst - 1 {
			want := fmt.Sprint("news ", i)
			r.Update(version(want))
			limit := time.Second
			if i < writeBurst/2 {
				limit = writePace/2 + gather
			}
			time.Sleep(limit)
			if got := o.last("agentVersion"); got != `"`+want+`"` {
				t.Errorf("%s after news number %d it says %s", limit, i, got)
			}
		}
	})
}

func TestAHeartbeatIsNotNeededBesideOtherWrites(t *testing.T) {
	simulate(t, func(r *Reporter, o *dated) {
		for i := range 24 {
			r.Update(version(fmt.Sprint("v", i)))
			time.Sleep(4 * time.Minute)
		}
		if n := len(o.when()); n > 25 {
			t.Errorf("%d writes, want one for each of the 24 changes", n)
		}
	})
}

func TestAnOutageCostsNothingOfTheBudget(t *testing.T) {
	simulate(t, func(r *Reporter, o *dated) {
		r.Update(version("v1"))
		time.Sleep(time.Minute)
		answered := 0
		synctest.Wait()
		r.Answered = func() { answered++ }
		o.refuse(errNoAnswer)
		for i := range 7200 {
			r.Update(version(fmt.Sprint("away ", i)))
			time.Sleep(time.Second)
		}
		if !r.Unanswered() || r.Refused() != nil {
			t.Error("it does not know that the API server is away")
		}
		o.refuse(apierrors.NewInternalError(errNoAnswer)) // as while it starts
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if r.Unanswered() || !apierrors.IsInternalError(r.Refused()) {
			t.Errorf("it does not know what the API server refuses its words with: %v", r.Refused())
		}
		o.refuse(nil)
		r.Update(version("back"))
		time.Sleep(40 * time.Second) // the longest wait between two tries, with its jitter
		synctest.Wait()
		if got := o.last("agentVersion"); got != `"back"` {
			t.Errorf("it says %s", got)
		}
		if r.Unanswered() || r.Refused() != nil || answered != 1 {
			t.Errorf("told %d times that the API server is back, want once", answered)
		}
	})
}

// TestABudgetHoldsAgainstARealAPIServer counts what the API server stored.
func TestABudgetHoldsAgainstARealAPIServer(t *testing.T) {
	server := apiserver.Shared(t)
	api, err := kubeapi.New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewWithWatch(server.Config, client.Options{Scheme: server.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "flapping"}, Spec: v1alpha1.NodeAgentSpec{
		Revision: "r", Version: "v1.36.3",
		Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "r/b@sha256:" + strings.Repeat("0", 64)}},
		Cluster:   v1alpha1.ClusterSettings{Server: "https://10.0.0.1", ServerCA: "ca", ClientCA: "ca"},
	}}
	if err := c.Create(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	events, err := c.Watch(t.Context(), &v1alpha1.NodeAgentList{}, client.MatchingFields{"metadata.name": agent.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()

	r := &Reporter{Node: agent.Name, Log: logr.Discard(), Clock: clock.RealClock{}, budget: &budget{burst: 5, every: 2 * time.Second}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx, api) }()
	defer func() { cancel(); <-done }()

	flap, stop := time.NewTicker(20*time.Millisecond), time.After(6*time.Second)
	defer flap.Stop()
	began, i, writes, last := time.Now(), 0, 0, ""
	for deadline := time.After(30 * time.Second); last != "last"; {
		select {
		case <-flap.C:
			i++
			r.Update(version(fmt.Sprint("flap ", i)))
		case <-stop:
			flap.Stop()
			r.Update(version("last"))
		case e := <-events.ResultChan():
			seen, ok := e.Object.(*v1alpha1.NodeAgent)
			if !ok {
				t.Fatalf("the watch says %v", e.Object)
			}
			if seen.Status.AgentVersion != last {
				writes, last = writes+1, seen.Status.AgentVersion
			}
			r.Saw(seen)
		case <-deadline:
			data, _ := json.Marshal(r.status)
			t.Fatalf("the last state did not arrive: %s", data)
		}
	}
	if most := 5 + int(time.Since(began)/(2*time.Second)) + 1; writes > most || writes < 5 {
		t.Errorf("%d writes for %d changes, want at most %d", writes, i, most)
	}
}
