package selfupdate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

func TestAVersionOnTrialIsStartedOnceMore(t *testing.T) {
	const minute = time.Minute
	now := moment{Boot: "b", Since: 10 * minute}
	for name, c := range map[string]struct {
		reason string
		trial  trial
		spent  string // "" for once more
	}{
		"never started":         {"it has its first chance", trial{}, ""},
		"ended at once":         {"anything may have happened", trial{Boot: "b", Boots: 1, Starts: 2, Last: now.Since - time.Second}, ""},
		"ended again and again": {"it will again", trial{Boot: "b", Boots: 1, Starts: 3, Last: now.Since - time.Second}, "it ended 3 times in a row without having proved itself"},
		"with a word of its own": {"whoever reads it learns why", trial{Boot: "b", Boots: 1, Starts: 3, Last: now.Since - time.Second, Said: "no memory"},
			"it ended 3 times in a row without having proved itself: no memory"},
		"had its time":           {"it hung, and was ended", trial{Boot: "b", Boots: 1, Starts: 1, Last: now.Since - 5*minute}, "it ended, or was ended, 5m0s after its start without having proved itself"},
		"was told to end":        {"nobody knows what it would have done", trial{Boot: "b", Boots: 1, Starts: 1}, ""},
		"in another boot":        {"the machine's end is not its own", trial{Boot: "a", Boots: 1, Starts: 3, Last: minute}, ""},
		"in many others":         {"or perhaps it is", trial{Boot: "a", Boots: 3, Starts: 1, Last: minute}, "the machine was started anew 3 times without having proved itself"},
		"in this and in another": {"those of this one count", trial{Boot: "b", Boots: 3, Starts: 2, Last: now.Since - time.Second}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.trial.spent(now); got != c.spent {
				t.Errorf("%s: got %q, want %q", c.reason, got, c.spent)
			}
		})
	}
}

func TestStartsAreCountedForEachBoot(t *testing.T) {
	var c trial
	for _, now := range []moment{{"a", 1}, {"a", 2}, {"b", 3}, {"b", 4}} {
		c.count(now)
	}
	if want := (trial{Boots: 2, Boot: "b", Starts: 2, Last: 4}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestAVersionThatWasToldToEndHasItsStartBack(t *testing.T) {
	p := &Programs{Dir: t.TempDir(), Log: logr.Discard()}
	if err := p.write(state{Trial: &trial{Boot: "b", Starts: 2, Last: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	p.Excuse()
	p.Said(errors.New("told to"))
	if got, want := *p.read().Trial, (trial{Boot: "b", Starts: 1, Said: "told to"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Nothing executes before its digest is verified, nor after it was changed.
func TestAProgramThatWasChangedIsNotStarted(t *testing.T) {
	p := &Programs{Dir: t.TempDir(), Log: logr.Discard()}
	digest := strings.Repeat("ab", 32)
	path := p.path(algorithm + digest)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755), p.write(state{Trial: &trial{Digest: algorithm + digest}}))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.choose(moment{Boot: "b"}); got != "" {
		t.Errorf("%s is to run, which nothing proves", got)
	}
	if s := p.read(); s.Trial != nil || s.Failed != nil {
		t.Errorf("%+v: want that it is fetched again", s)
	}
}

func TestAFileThatIsOfNoUseSaysThatNothingIsOnTrial(t *testing.T) {
	p := &Programs{Dir: t.TempDir(), Log: logr.Discard()}
	whole, err := func() ([]byte, error) {
		err := p.write(state{Trial: &trial{Version: "v2", Digest: algorithm + strings.Repeat("ab", 32)}})
		data, unread := os.ReadFile(filepath.Join(p.Dir, stateName))
		return data, errors.Join(err, unread)
	}()
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 2 { // without its last brace
		if err := os.WriteFile(filepath.Join(p.Dir, stateName), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.choose(moment{}); got != "" || p.OnTrial() != "" {
			t.Fatalf("cut short at %d bytes: %s is to run", n, got)
		}
	}
}
