package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seedsFlag  = flag.String("sim.seeds", "1-1430", "which weeks are run: first-last, or one")
	eventsFlag = flag.String("sim.events", "", "with one seed: the numbers of the events that happen; none for none")
)

// TestMain lets garbage lie for longer than usual: a week leaves a lot, and keeps little.
func TestMain(m *testing.M) {
	const enough = 400 << 20
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(enough)
	os.Exit(m.Run())
}

// TestPoolDays runs a week for each seed. It prints what was gone through, and of weeks that went wrong the least that it takes.
func TestPoolDays(t *testing.T) {
	first, last := seeds(t)
	if first == last {
		one(t, first)
		return
	}
	started := time.Now()
	tally, failed := runAll(first, last)
	took := time.Since(started)
	fmt.Printf("simulation: %s, in %s: %.0f pool-days a minute\n%s\n", tally, took.Round(time.Millisecond), float64(tally.Days)/took.Minutes(), tally.Each())
	if len(failed) == 0 && (tally.LeastFaults < MinFaults || tally.LeastEdits < MinEdits) {
		t.Errorf("a day had %d faults, and one %d edits: each is to have %d and %d", tally.LeastFaults, tally.LeastEdits, MinFaults, MinEdits)
	}
	const most = 3
	for i, result := range failed {
		if i >= most {
			t.Errorf("%d more weeks went wrong", len(failed)-most)
			break
		}
		t.Errorf("%s", Shrink(result, nil, time.Minute).Replay())
	}
}

func one(t *testing.T, seed uint64) {
	options := Options{Seed: seed, Tell: true}
	if *eventsFlag != "" {
		options.Only = []int{}
		for _, number := range strings.Split(*eventsFlag, ",") {
			if id, err := strconv.Atoi(number); err == nil {
				options.Only = append(options.Only, id)
			}
		}
	}
	result := Run(options)
	fmt.Println(result.Tally)
	if result.Violation == nil {
		return
	}
	if options.Only == nil {
		result = Shrink(result, nil, time.Minute)
	}
	t.Errorf("%s", result.Replay())
}

func seeds(t *testing.T) (first, last uint64) {
	t.Helper()
	from, to, is := strings.Cut(*seedsFlag, "-")
	if !is {
		to = from
	}
	var errFrom, errTo error
	first, errFrom = strconv.ParseUint(from, 10, 64)
	last, errTo = strconv.ParseUint(to, 10, 64)
	if errFrom != nil || errTo != nil || first > last {
		t.Fatalf("-sim.seeds=%s: want a number, or first-last", *seedsFlag)
	}
	return first, last
}

// runAll runs weeks on all processors. It stops after some that went wrong.
func runAll(first, last uint64) (tally Tally, failed []Result) {
	var mu sync.Mutex
	var group sync.WaitGroup
	next := first
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		seed := next
		next++
		return seed, seed <= last && len(failed) < 20
	}
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				result := Run(Options{Seed: seed})
				mu.Lock()
				tally.Add(result.Tally)
				if result.Violation != nil {
					failed = append(failed, result)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.SortFunc(failed, func(a, b Result) int { return int(a.Seed) - int(b.Seed) }) //nolint:gosec // few
	return tally, failed
}

// TestADayIsTheSameAgain, all of it: a failure can be run again.
func TestADayIsTheSameAgain(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		first, second := Run(Options{Seed: seed, Tell: true}), Run(Options{Seed: seed, Tell: true})
		for i, line := range first.Told {
			if i >= len(second.Told) || second.Told[i] != line {
				t.Fatalf("day %d goes another way after\n%s\nThe first time:\n%s\nThe second time:\n%s", seed,
					strings.Join(first.Told[max(0, i-5):i], "\n"), line, strings.Join(second.Told[i:min(i+1, len(second.Told))], "\n"))
			}
		}
	}
}
