package repair

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// site is a machine's disk, and what was done to the machine.
type site struct {
	dir  string
	done []string
}

func (s *site) path() string { return filepath.Join(s.dir, "state", "repair.json") }

// life is one agent's.
type life struct {
	boot string
	// dies says where in a rung the agent is killed: before it is taken, after, or, empty, not at all.
	dies string
	fail error
	// booted is at which second the machine was, and busy until which one something else is changed on it.
	booted, busy int
	// ahead is how many seconds the API server's clock is ahead.
	ahead int
}

// live has an agent of its own hear of requests, one after the other, and says what it answers last.
func (s *site) live(t *testing.T, l life, requests ...*v1alpha1.RepairRequest) *v1alpha1.RepairAnswer {
	t.Helper()
	var answer *v1alpha1.RepairAnswer
	synctest.Test(t, func(t *testing.T) {
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		rung := func(name string) func(context.Context) (string, error) {
			return func(ctx context.Context) (string, error) {
				if l.dies == "before" {
					kill()
					return "", ctx.Err()
				}
				s.done = append(s.done, name)
				if l.dies == "after" {
					kill()
					return "", ctx.Err()
				}
				return "did " + name, l.fail
			}
		}
		k := &Keeper{
			Path: s.path(), Boot: l.boot, Booted: func() time.Time { return second(l.booted) }, Now: time.Now, Changed: func() {}, Log: logr.Discard(),
			Rest: func() bool { return !time.Now().Before(second(l.busy)) }, Resume: func() {},
			Ahead: func(context.Context) time.Duration { return time.Duration(l.ahead) * time.Second },
			Rungs: map[v1alpha1.RepairRung]func(context.Context) (string, error){
				v1alpha1.RepairRestartComponent: rung("restart"), v1alpha1.RepairReboot: rung("reboot"),
			},
		}
		go k.Run(ctx)
		synctest.Wait()
		for _, request := range requests {
			k.Want(request)
			time.Sleep(time.Duration(l.busy) * time.Second) // the bubble's
			synctest.Wait()
		}
		answer = k.Answer()
		kill()
		synctest.Wait()
	})
	return answer
}

// bubble is when time begins where the tests run.
var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// second is zero for 0.
func second(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return bubble.Add(time.Duration(n) * time.Second)
}

func request(rung v1alpha1.RepairRung, second int) *v1alpha1.RepairRequest {
	at := bubble.Add(time.Duration(second) * time.Second)
	return &v1alpha1.RepairRequest{Rung: rung, RequestedAt: metav1.NewTime(at), ExpiresAt: metav1.NewTime(at.Add(2 * time.Minute))}
}

const (
	restart = v1alpha1.RepairRestartComponent
	reboot  = v1alpha1.RepairReboot
)

// Whenever an agent or its machine ends, a request is done once at most, and what became of it is told.
func TestARequestIsDoneOnce(t *testing.T) {
	type lives = []struct {
		life
		hears   []*v1alpha1.RepairRequest
		says    v1alpha1.RepairState
		because string
	}
	for name, tc := range map[string]struct {
		reason string
		lives  lives
		does   string
	}{
		"heard twice":                   {"a watch tells it again", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 1), request(restart, 1)}, v1alpha1.RepairDone, "did restart"}}, "restart"},
		"heard by the next agent":       {"it is in the spec as long as no other is", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 1)}, v1alpha1.RepairDone, ""}, {life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 1)}, v1alpha1.RepairDone, "did restart"}}, "restart"},
		"killed before the restart":     {"nobody knows whether it was done", lives{{life{boot: "a", dies: "before"}, []*v1alpha1.RepairRequest{request(restart, 1)}, v1alpha1.RepairBegun, ""}, {life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 1)}, v1alpha1.RepairInterrupted, "The agent ended"}}, ""},
		"killed after the restart":      {"the same", lives{{life{boot: "a", dies: "after"}, []*v1alpha1.RepairRequest{request(restart, 1)}, v1alpha1.RepairBegun, ""}, {life{boot: "b"}, []*v1alpha1.RepairRequest{request(restart, 1)}, v1alpha1.RepairInterrupted, ""}}, "restart"},
		"rebooted":                      {"the next boot says so", lives{{life{boot: "a", dies: "after"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairBegun, ""}, {life{boot: "b"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairDone, "The machine was rebooted"}}, "reboot"},
		"rebooted, and again by others": {"it is the same boot's for ever", lives{{life{boot: "a", dies: "after"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairBegun, ""}, {life{boot: "b"}, nil, v1alpha1.RepairDone, ""}, {life{boot: "c"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairDone, ""}}, "reboot"},
		"killed before the reboot":      {"it is not begun again", lives{{life{boot: "a", dies: "before"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairBegun, ""}, {life{boot: "a"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairInterrupted, ""}, {life{boot: "b"}, nil, v1alpha1.RepairInterrupted, ""}}, ""},
		"the next rung":                 {"it is another request", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 1), request(reboot, 2)}, v1alpha1.RepairDone, "did reboot"}}, "restart reboot"},
		"the same rung later":           {"so is that", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 1), request(restart, 2)}, v1alpha1.RepairDone, ""}}, "restart" + " restart"},
		"an older one comes back":       {"somebody put a NodeAgent back", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(restart, 2), nil, request(reboot, 1)}, v1alpha1.RepairDone, "did restart"}}, "restart"},
		"heard of too late":             {"the machine may be well by then", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(reboot, -121)}, v1alpha1.RepairExpired, "It was heard of after 1999-12-31T23:59:59Z"}}, ""},
		"heard of at the last moment":   {"it is in time", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(reboot, -120)}, v1alpha1.RepairDone, ""}}, "reboot"},
		"booted since":                  {"somebody else was faster", lives{{life{boot: "a", booted: -1}, []*v1alpha1.RepairRequest{request(reboot, -3)}, v1alpha1.RepairDone, "The machine was booted at 1999-12-31T23:59:59Z"}}, ""},
		"booted, by a clock set back":   {"that boot may have been before", lives{{life{boot: "a", booted: 3600}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairDone, "did reboot"}}, "reboot"},
		"a clock that is behind":        {"it is in time by the API server's", lives{{life{boot: "a", ahead: 180}, []*v1alpha1.RepairRequest{request(reboot, 180)}, v1alpha1.RepairDone, "did reboot"}}, "reboot"},
		"a clock that is ahead":         {"it is in time by the API server's", lives{{life{boot: "a", ahead: -180}, []*v1alpha1.RepairRequest{request(reboot, -180)}, v1alpha1.RepairDone, "did reboot"}}, "reboot"},
		"one of the future":             {"nothing would be later than that", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request(reboot, 3600), request(restart, 1)}, v1alpha1.RepairDone, "did restart"}}, "restart"},
		"booted since, and a restart":   {"that is another thing", lives{{life{boot: "a", booted: -1}, []*v1alpha1.RepairRequest{request(restart, -3)}, v1alpha1.RepairDone, ""}}, "restart"},
		"in the midst of a change":      {"it waits for the end of that", lives{{life{boot: "a", busy: 60}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairDone, "did reboot"}}, "reboot"},
		"a change that takes long":      {"it may be well by then", lives{{life{boot: "a", busy: 200}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairExpired, "Something else was changed"}}, ""},
		"one that failed":               {"it is not tried again", lives{{life{boot: "a", fail: errors.New("no init")}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairFailed, "no init"}, {life{boot: "a"}, []*v1alpha1.RepairRequest{request(reboot, 1)}, v1alpha1.RepairFailed, "no init"}}, "reboot"},
		"a rung of a later Drover":      {"it says that it cannot", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{request("Reinstall", 1)}, v1alpha1.RepairFailed, "This agent knows no Reinstall"}}, ""},
		"nothing":                       {"there is nothing to say", lives{{life{boot: "a"}, []*v1alpha1.RepairRequest{nil}, "", ""}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{dir: t.TempDir()}
			for i, l := range tc.lives {
				got := s.live(t, l.life, l.hears...)
				if got == nil {
					got = &v1alpha1.RepairAnswer{}
				}
				if got.State != l.says || !strings.HasPrefix(got.Message, l.because) {
					t.Errorf("%s: agent %d says %s (%s), want %s (%s)", tc.reason, i, got.State, got.Message, l.says, l.because)
				}
			}
			if got := strings.Join(s.done, " "); got != tc.does {
				t.Errorf("%s: it did %q, want %q", tc.reason, got, tc.does)
			}
		})
	}
}

// What nobody wants any more when the change is over that it waited for is not done, and nothing rests for it.
func TestARequestThatIsTakenBackIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done, rests := 0, 0
		k := &Keeper{
			Path: filepath.Join(t.TempDir(), "repair.json"), Boot: "a", Booted: func() time.Time { return time.Time{} }, Now: time.Now, Changed: func() {}, Log: logr.Discard(),
			Ahead: func(context.Context) time.Duration { return 0 },
			Rest: func() bool {
				free := time.Since(bubble) > time.Minute
				rests += map[bool]int{true: 1}[free]
				return free
			},
			Resume: func() { rests-- },
			Rungs: map[v1alpha1.RepairRung]func(context.Context) (string, error){reboot: func(context.Context) (string, error) {
				done++
				return "", nil
			}},
		}
		go k.Run(t.Context())
		k.Want(request(reboot, 1))
		time.Sleep(30 * time.Second)
		k.Want(nil)
		time.Sleep(time.Minute)
		if answer := k.Answer(); done != 0 || rests != 0 || answer != nil {
			t.Errorf("it was done %d times, something rests %d times, and it answers %+v", done, rests, answer)
		}
		k.Want(request(reboot, 80))
		time.Sleep(time.Second)
		if done != 1 || rests != 0 {
			t.Errorf("the next one was done %d times, and something rests %d times", done, rests)
		}
	})
}

// What was done may be in a record that is of no use, and what is done has to be in one.
func TestNothingIsDoneThatCannotBeNoted(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *site){
		"a record of no use":          func(t *testing.T, s *site) { fill(t, s.path(), "{") },
		"a record of a later release": func(t *testing.T, s *site) { fill(t, s.path(), `{"schema": 2}`) },
		"no place for one":            func(t *testing.T, s *site) { fill(t, filepath.Join(s.dir, "state"), "") },
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{dir: t.TempDir()}
			spoil(t, s)
			if got := s.live(t, life{boot: "a"}, request(reboot, 1)); got == nil || got.State != v1alpha1.RepairFailed || got.Message == "" {
				t.Errorf("it answers %+v, want Failed", got)
			}
			if len(s.done) > 0 {
				t.Errorf("it did %v", s.done)
			}
		})
	}
}

func fill(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}
