package health

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestAProcessIsRestartedOnlyForSilence(t *testing.T) {
	now := time.Unix(100000, 0)
	const lasts = "it is restarted when that has lasted 20s"
	again := func(times, tolerance string) string {
		return "it was restarted for that " + times + " times in a row, and is again when that has lasted " + tolerance + ": see whether the machine is overloaded"
	}
	for _, c := range []struct {
		reason       string
		state        fleetv1.ComponentState
		age, silence time.Duration
		unanswered   int
		hangs        int
		ago          time.Duration // of the last hang
		chance       float64
		inARow       int // 0: it is left alone
		notice       string
	}{
		{reason: "one that answers is left alone", state: fleetv1.ComponentRunning, age: time.Hour},
		{reason: "so is one that is silent for less than is tolerated", state: fleetv1.ComponentRunning, age: time.Hour, silence: 19 * time.Second, unanswered: 4, notice: lasts},
		{reason: "when that has passed it is restarted", state: fleetv1.ComponentRunning, age: time.Hour, silence: 20 * time.Second, unanswered: 4, inARow: 1, notice: lasts},
		{reason: "chance makes it later", state: fleetv1.ComponentRunning, age: time.Hour, silence: 21 * time.Second, unanswered: 4, chance: 0.5, notice: lasts},
		{reason: "but not for long", state: fleetv1.ComponentRunning, age: time.Hour, silence: 24 * time.Second, unanswered: 4, chance: 0.99, inARow: 1, notice: lasts},
		{reason: "an agent that got no time itself has asked little", state: fleetv1.ComponentRunning, age: time.Hour, silence: time.Hour, unanswered: 2, notice: lasts},
		{reason: "one that has only just been started may be busy with that", state: fleetv1.ComponentStarting, age: time.Minute, silence: time.Minute, unanswered: 9},
		{reason: "but not for ever", state: fleetv1.ComponentStarting, age: 5 * time.Minute, silence: time.Minute, unanswered: 9, inARow: 1, notice: lasts},
		{reason: "one that ended is started again anyway", state: fleetv1.ComponentBackOff, age: time.Hour, silence: time.Minute, unanswered: 9},
		{reason: "the second time in a row it gets twice the time", state: fleetv1.ComponentRunning, age: time.Minute, silence: 39 * time.Second, unanswered: 6, hangs: 1, ago: time.Minute, notice: again("1", "40s")},
		{reason: "and no more", state: fleetv1.ComponentRunning, age: time.Minute, silence: 40 * time.Second, unanswered: 6, hangs: 1, ago: time.Minute, inARow: 2, notice: again("1", "40s")},
		{reason: "the fifth time sixteen times as much", state: fleetv1.ComponentRunning, age: time.Minute, silence: 5 * time.Minute, unanswered: 60, hangs: 4, ago: 6 * time.Minute, notice: again("4", "5m20s")},
		{reason: "there is an upper bound", state: fleetv1.ComponentRunning, age: time.Hour, silence: 30 * time.Minute, unanswered: 300, hangs: 40, ago: 45 * time.Minute, inARow: 41, notice: again("40", "30m0s")},
		{reason: "after a calm it is the first time again", state: fleetv1.ComponentRunning, age: time.Hour, silence: 20 * time.Second, unanswered: 4, hangs: 3, ago: 11 * time.Minute, inARow: 1, notice: lasts},
		{reason: "the calm is longer than the tolerance", state: fleetv1.ComponentRunning, age: time.Hour, silence: time.Minute, unanswered: 9, hangs: 7, ago: 50 * time.Minute, notice: again("7", "30m0s")},
	} {
		t.Run(c.reason, func(t *testing.T) {
			l := Life{
				Component: &fleetv1.ComponentStatus{Name: fleetv1.ComponentKubelet, State: c.state, PID: ptr.To[int32](42), StartedAt: metav1.NewTime(now.Add(-c.age))},
				Tolerance: defaultTolerance, Unanswered: c.unanswered, Hangs: c.hangs, Chance: c.chance, Now: now,
			}
			if c.unanswered > 0 {
				l.Silent = now.Add(-c.silence)
			}
			if c.hangs > 0 {
				l.Hung = now.Add(-c.ago)
			}
			inARow, hang := 0, l.Hang()
			if hang != nil {
				inARow = hang.InARow
				if hang.Component != fleetv1.ComponentKubelet || hang.PID != 42 {
					t.Errorf("%s %d is restarted, want kubelet 42", hang.Component, hang.PID)
				}
			}
			if inARow != c.inARow {
				t.Errorf("it is restart number %d in a row, want %d", inARow, c.inARow)
			}
			if got := l.Notice(); got != c.notice {
				t.Errorf("the condition says %q, want %q", got, c.notice)
			}
		})
	}
}

func TestARestartForSilenceSaysWhy(t *testing.T) {
	now := time.Unix(100000, 0)
	l := Life{
		Component: &fleetv1.ComponentStatus{Name: fleetv1.ComponentKubelet, State: fleetv1.ComponentRunning, PID: ptr.To[int32](42)},
		Tolerance: defaultTolerance, Silent: now.Add(-83 * time.Second), Unanswered: 12, Now: now,
	}
	if got, want := l.Hang().Message, "kubelet did not answer for 1m23s, to 12 questions in a row"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l.Hangs, l.Hung = 2, now.Add(-2*time.Minute)
	want := "kubelet did not answer for 1m23s, to 12 questions in a row; it is the restart number 3 in a row for that, and the next is made after 2m40s at the earliest: see whether the machine is overloaded"
	if got := l.Hang().Message; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An answer that says that the process is ill is no silence, and neither is a question that could not be put.
func TestSilenceIsNoAnswerAtAll(t *testing.T) {
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(ill.Close)
	dumb := listen(t, "tcp", "127.0.0.1:0") // the kernel takes the connections of a process that was stopped
	gone := listen(t, "tcp", "127.0.0.1:0")
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "containerd.sock")
	listen(t, "unix", socket)
	for _, c := range []struct {
		reason string
		ask    func(context.Context) error
		silent bool
	}{
		{"a kubelet that answers 500 lives", func(ctx context.Context) error { return HTTPAlive(ctx, ill.URL) }, false},
		{"one that takes a connection and says nothing may not", func(ctx context.Context) error { return HTTPAlive(ctx, "http://"+dumb.Addr().String()) }, true},
		{"nor one that listens no more", func(ctx context.Context) error { return HTTPAlive(ctx, "http://"+gone.Addr().String()) }, true},
		{"nor a runtime that says nothing", func(ctx context.Context) error { return CRIAlive(ctx, socket) }, true},
		{"nor one whose socket is gone", func(ctx context.Context) error { return CRIAlive(ctx, socket+".gone") }, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := c.ask(ctx); (err != nil) != c.silent || errors.Is(err, ErrInconclusive) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := silence(&net.OpError{Op: "dial", Err: unix.ENETUNREACH}); !errors.Is(err, ErrInconclusive) {
		t.Errorf("that there is no way to a process says %v of it", err)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
