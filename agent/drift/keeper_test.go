package drift

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

const wanted = "maxPods: 110\nport: 1\n"

// files are the parts of a node that has one file, and nothing but the kernel's word has it looked at.
func files(path string, policy v1alpha1.DriftPolicy) Part {
	return Part{
		Name: "files", Policy: func() v1alpha1.DriftPolicy { return policy }, Every: time.Hour,
		Dirs: func() []string { return []string{filepath.Dir(path)} },
		Look: func(context.Context) ([]Difference, error) {
			if d := File(path, []byte(wanted), 0o644); d != nil {
				return []Difference{*d}, nil
			}
			return nil, nil
		},
		Repair: func(context.Context, []Difference) error {
			_, err := atomicfile.WriteDerived(path, []byte(wanted), 0o644)
			return err
		},
	}
}

// run runs a keeper until the test ends.
func run(t *testing.T, parts ...Part) *Keeper {
	t.Helper()
	k := &Keeper{Parts: parts, Clock: clock.RealClock{}, Log: logr.Discard()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	t.Cleanup(func() {
		if k.setBlind(false) {
			t.Error("it saw what it saw because it looked, and not because it was told")
		}
		cancel()
		<-done
	})
	return k
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// patient bounds a wait, on a machine that has other work as well: the parts are looked at again after an hour, so what is seen
// before was told by the kernel, however long that took. How long it takes on a real node is measured with the faults.
const patient = 30 * time.Second

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// told is the message of the finding of a name, empty for none.
func told(k *Keeper, name string) string {
	for _, f := range k.Findings() {
		if f.Name == name {
			return f.Message
		}
	}
	return ""
}

func TestAFileThatOthersChangeIsPutBack(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"edited in place":   func(path string) error { return os.WriteFile(path, []byte("maxPods: 9\nport: 1\n"), 0o644) },
		"emptied":           func(path string) error { return os.Truncate(path, 0) },
		"with another mode": func(path string) error { return os.Chmod(path, 0o666) },
		"deleted":           os.Remove,
		"moved away":        func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("maxPods: 9\n"), 0o644), os.Rename(path+".new", path))
		},
		"with its directory": func(path string) error { return removeAtOnce(filepath.Dir(path)) },
		"with the directory above": func(path string) error {
			return removeAtOnce(filepath.Dir(filepath.Dir(path)))
		},
		"with its directory, which is made anew": func(path string) error {
			dir, other := filepath.Dir(path), filepath.Dir(path)+".new"
			return errors.Join(os.Mkdir(other, 0o755), unix.Renameat2(unix.AT_FDCWD, other, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE), os.RemoveAll(other))
		},
		"with its directory moved away": func(path string) error {
			return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old")
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "etc", "components", "kubelet.yaml")
			write(t, path, wanted)
			part, settle := watched(files(path, v1alpha1.DriftRepair), path)
			k := run(t, part)
			is := func() bool { return atomicfile.Holds(path, []byte(wanted), 0o644) }
			settle(t)
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			await(t, "it is put back", is)
			await(t, "it is told", func() bool { return strings.Contains(told(k, finding.DriftRepaired), path) })
			await(t, "nothing differs any more", func() bool { return told(k, finding.Drift) == "" })
		})
	}
}

// watched has a part say when it is looked at because of a change beside its file: what is changed before that may be seen by
// the first look.
func watched(part Part, path string) (Part, func(*testing.T)) {
	probe, look, seen := filepath.Join(filepath.Dir(path), ".probe"), part.Look, make(chan struct{}, 1)
	part.Look = func(ctx context.Context) ([]Difference, error) {
		if _, err := os.Lstat(probe); err == nil {
			notify(seen)
		}
		return look(ctx)
	}
	return part, func(t *testing.T) {
		t.Helper()
		write(t, probe, "")
		select {
		case <-seen:
		case <-time.After(patient):
			t.Fatal("a change was not told")
		}
	}
}

// removeAtOnce leaves no time to put something back into what is being removed.
func removeAtOnce(dir string) error {
	return errors.Join(os.Rename(dir, dir+".gone"), os.RemoveAll(dir+".gone"))
}

func TestADirectoryThatComesBackIsWatchedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "components", "kubelet.yaml")
	write(t, path, wanted)
	k := run(t, files(path, v1alpha1.DriftReport))
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	await(t, "it is told that it is gone", func() bool { return strings.Contains(told(k, finding.Drift), path+" is gone") })
	write(t, path, wanted)
	await(t, "it is told no more", func() bool { return told(k, finding.Drift) == "" })
	write(t, path, "maxPods: 9\nport: 1\n")
	await(t, "the change in the new directory is told", func() bool {
		return strings.Contains(told(k, finding.Drift), `has at line 1 "maxPods: 9", not "maxPods: 110"`)
	})
}

// Of more changes than the kernel keeps the last ones are not told, and seen all the same.
func TestNoChangeIsLostWhereTheKernelKeepsNoMore(t *testing.T) {
	dir := t.TempDir()
	path, noise := filepath.Join(dir, "kubelet.yaml"), filepath.Join(dir, "noise")
	write(t, path, wanted)
	k := run(t, files(path, v1alpha1.DriftReport))
	var most int
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if _, scanErr := fmt.Sscan(string(data), &most); errors.Join(err, scanErr) != nil {
		t.Fatal(err, scanErr)
	}
	if most > 1<<17 {
		most = 1 << 17
	}
	write(t, noise, "")
	for i := range most + most/4 { // two kinds in turn: equal ones in a row count once
		err := os.Chmod(noise, os.FileMode(0o600|i&1))
		if i&1 == 0 {
			err = os.WriteFile(noise, []byte("x"), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, "maxPods: 9\nport: 1\n")
	await(t, "it is told", func() bool { return told(k, finding.Drift) != "" })
}

func TestThePolicySaysWhatIsDone(t *testing.T) {
	for policy, c := range map[v1alpha1.DriftPolicy]struct {
		looks  bool
		is     string
		drift  string
		mended bool
	}{
		v1alpha1.DriftRepair: {looks: true, is: wanted, mended: true},
		v1alpha1.DriftReport: {looks: true, is: "maxPods: 9\n", drift: "left so, as the policy for files is Report"},
		v1alpha1.DriftIgnore: {is: "maxPods: 9\n"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kubelet.yaml")
			write(t, path, "maxPods: 9\n")
			k := keeper(files(path, policy))
			var looked atomic.Bool
			look := k.Parts[0].Look
			k.Parts[0].Look = func(ctx context.Context) ([]Difference, error) { looked.Store(true); return look(ctx) }
			k.look(t.Context(), 0)
			data, err := os.ReadFile(path)
			if err != nil || string(data) != c.is || looked.Load() != c.looks {
				t.Errorf("looked: %t; the file has %q, want %q: %v", looked.Load(), data, c.is, err)
			}
			if got := told(k, finding.Drift); !strings.Contains(got, c.drift) || (got == "") != (c.drift == "") {
				t.Errorf("of what differs is told %q", got)
			}
			if got := told(k, finding.DriftRepaired); (got != "") != c.mended {
				t.Errorf("of what was put back is told %q", got)
			}
		})
	}
}

// keeper is one that does not run.
func keeper(parts ...Part) *Keeper {
	k := &Keeper{Parts: parts, Clock: clocktesting.NewFakeClock(time.Now()), Log: logr.Discard()}
	k.prepare()
	return k
}

func TestTwoWhoFightAreSeenAndDoNotSpin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.yaml")
	k := keeper(files(path, v1alpha1.DriftRepair))
	now, _ := k.Clock.(*clocktesting.FakeClock)
	repairs, changes := 0, 0
	k.Changed = func() { changes++ }
	for begun := now.Now(); now.Since(begun) < time.Hour && repairs < 1000; {
		write(t, path, "maxPods: 9\n")
		again := k.look(t.Context(), 0)
		if atomicfile.Holds(path, []byte(wanted), 0o644) {
			repairs++
		}
		now.Step(max(again, time.Millisecond))
	}
	if repairs < 12 || repairs > 24 || changes > 2*repairs+2 {
		t.Errorf("in an hour it was put back %d times and told %d times, want once at once and then every five minutes", repairs, changes)
	}
	k.look(t.Context(), 0)
	if got, want := told(k, finding.DriftRepaired), fmt.Sprintf("files %d times since", repairs); !strings.Contains(got, want) {
		t.Errorf("%q does not tell of a fight: %q", got, want)
	}
	for range 2 {
		write(t, path, "maxPods: 9\n")
		k.look(t.Context(), 0)
	}
	if got := told(k, finding.Drift); !strings.Contains(got, "at the earliest") {
		t.Errorf("%q does not say that it waits", got)
	}
	now.Step(peace + time.Second)
	k.look(t.Context(), 0)
	write(t, path, "maxPods: 9\n")
	now.Step(patience.Duration * 2)
	if k.look(t.Context(), 0); !atomicfile.Holds(path, []byte(wanted), 0o644) {
		t.Error("after a peace it is not put back as soon as the first time")
	}
	now.Step(remembered + time.Second)
	if got := k.Findings(); len(got) > 0 {
		t.Errorf("it is told for ever: %v", got)
	}
}

func TestWhatCannotBePutBackIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.yaml")
	part := files(path, v1alpha1.DriftRepair)
	part.Repair = func(context.Context, []Difference) error { return errors.New("no space left on device") }
	k := keeper(part)
	k.look(t.Context(), 0)
	if got := told(k, finding.Drift); !strings.Contains(got, path+" is gone, which could not be put back: no space left on device") {
		t.Errorf("got %q", got)
	}
	if got := told(k, finding.DriftRepaired); got != "" {
		t.Errorf("it was not put back: %q", got)
	}
}

func TestWithoutWatchesFilesAreLookedAtAllTheMoreOften(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.yaml")
	write(t, path, wanted)
	k := keeper(files(path, v1alpha1.DriftRepair))
	if again := k.look(t.Context(), 0); again != time.Hour {
		t.Errorf("the next look is in %s", again)
	}
	k.setBlind(true)
	if again := k.look(t.Context(), 0); again > 2*time.Second {
		t.Errorf("the next look is in %s", again)
	}
}

// What took the kernel's watches may give them back.
func TestDirectoriesThatCouldNotBeWatchedAreWatchedWhenTheyCan(t *testing.T) {
	for name, obstruct := range map[string]func(t *testing.T, dir string) (clear func() error){
		"the agent may have no more files open": func(t *testing.T, _ string) func() error {
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
				t.Fatal(err)
			}
			clear := func() error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }
			t.Cleanup(func() { _ = clear() })
			return clear
		},
		"there is no way to the directory": func(t *testing.T, dir string) func() error {
			loop := filepath.Dir(filepath.Dir(dir)) // of which nobody watches what it is in
			if err := errors.Join(os.Rename(loop, loop+".aside"), os.Symlink(loop, loop)); err != nil {
				t.Fatal(err)
			}
			return func() error { return errors.Join(os.Remove(loop), os.Rename(loop+".aside", loop)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "etc", "drover", "components", "kubelet.yaml")
			write(t, path, wanted)
			var looks, log atomic.Int32
			part := files(path, v1alpha1.DriftReport)
			part.Look = func(context.Context) ([]Difference, error) { looks.Add(1); return nil, nil }
			k := &Keeper{Parts: []Part{part}, Clock: clock.RealClock{}, Log: funcr.New(func(_, args string) {
				if strings.Contains(args, "until they can be watched") {
					log.Add(1)
				}
			}, funcr.Options{})}
			k.prepare()
			clear := obstruct(t, filepath.Dir(path))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); k.Run(ctx) }()
			t.Cleanup(func() { cancel(); <-done })
			sees := func() bool { k.mu.Lock(); defer k.mu.Unlock(); return !k.blind }
			await(t, "it is blind, looks, and says so", func() bool { return !sees() && looks.Load() > 1 && log.Load() == 1 })
			if err := clear(); err != nil {
				t.Fatal(err)
			}
			await(t, "it watches", sees)
			before := looks.Load()
			await(t, "a change has it look", func() bool {
				write(t, path, "maxPods: 9\n")
				return looks.Load() > before+1
			})
			if n := log.Load(); n != 1 {
				t.Errorf("it was said %d times", n)
			}
		})
	}
}

func TestAKeeperThatIsBlindLooksAsOftenAfterARepair(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.yaml")
	k := &Keeper{Parts: []Part{files(path, v1alpha1.DriftRepair)}, Clock: clocktesting.NewFakeClock(time.Now()), Log: logr.Discard()}
	k.prepare()
	k.setBlind(true)
	for _, content := range []string{"maxPods: 9\n", wanted} {
		write(t, path, content)
		if again := k.look(t.Context(), 0); again > Soon {
			t.Errorf("with %q there it looks again after %s", content, again)
		}
	}
}
