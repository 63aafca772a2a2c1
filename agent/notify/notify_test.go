package notify

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T) *Ear {
	t.Helper()
	e, err := Listen(filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// told sets the environment that a program which is heard there has.
func told(t *testing.T, variables []string) Runner {
	t.Helper()
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return FromEnvironment()
}

func TestAProgramIsHeardByWhoeverRunsIt(t *testing.T) {
	e := listen(t)
	r := told(t, e.Environment(time.Minute))
	if err := r.Say(Ready + "\n" + Status + "all is well"); err != nil {
		t.Fatal(err)
	}
	select {
	case w := <-e.Heard():
		if w.PID != os.Getpid() || !Says(w.Text, Ready) || Says(w.Text, Alive) {
			t.Errorf("heard %+v", w)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was heard")
	}
}

func TestWhatThisProgramStartsIsNotToldOfTheSocket(t *testing.T) {
	e := listen(t)
	t.Setenv(pidVariable, "1")
	r := told(t, e.Environment(time.Minute))
	for _, name := range []string{socketVariable, intervalVariable, pidVariable} {
		if value, there := os.LookupEnv(name); there {
			t.Errorf("%s is %s still", name, value)
		}
	}
	if r.within != 0 {
		t.Error("a watchdog of another process is taken for this one's")
	}
}

func TestAProgramThatHangsIsNotSaidToLive(t *testing.T) {
	e := listen(t)
	r := told(t, e.Environment(40*time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	looks, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); r.KeepSaying(ctx, func() { <-looks }) }()
	for range 3 {
		looks <- struct{}{}
		if w := <-e.Heard(); !Says(w.Text, Alive) {
			t.Errorf("heard %q", w.Text)
		}
	}
	select {
	case w := <-e.Heard():
		t.Errorf("heard %q of a program that hangs", w.Text)
	case <-time.After(200 * time.Millisecond): // five times of what it is given
	}
	cancel()
	close(looks)
	<-ended
}

func TestWithoutARunnerNothingIsSaid(t *testing.T) {
	for _, name := range []string{socketVariable, intervalVariable, pidVariable} {
		t.Setenv(name, "")
	}
	r := FromEnvironment()
	if err := r.Say(Ready); err != nil || len(r.Environment()) != 0 {
		t.Errorf("got %v, %v", err, r.Environment())
	}
	r.KeepSaying(t.Context(), func() { t.Error("nobody waits for that") })
}
