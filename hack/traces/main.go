// Command traces notes what of the kinds of things that Drover makes is on this host, and says later what came and what
// went: make test uses it to find what a test left behind, also one that was killed.
//
//	drover-traces take FILE     notes what is there
//	drover-traces since FILE    fails and lists what is different by then
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/drover-dev/drover/test/trace"
)

// patience is how long what just ended may take to go.
const patience = 10 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 || args[0] != "take" && args[0] != "since" {
		return errors.New("usage: drover-traces take|since FILE")
	}
	world, err := filepath.Abs(".drover")
	if err != nil {
		return err
	}
	if args[0] == "take" {
		now, err := trace.Take(world)
		if err != nil {
			return fmt.Errorf("look at the host: %w", err)
		}
		return os.WriteFile(args[1], []byte(strings.Join(slices.Sorted(maps.Keys(now)), "\x00")), 0o600)
	}
	noted, err := os.ReadFile(args[1])
	if err != nil {
		return fmt.Errorf("read what was there before: %w", err)
	}
	before := trace.Snapshot{}
	for item := range strings.SplitSeq(string(noted), "\x00") {
		before[item] = struct{}{}
	}
	return compare(world, before)
}

func compare(world string, before trace.Snapshot) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		now, err := trace.Take(world)
		if err != nil {
			return fmt.Errorf("look at the host: %w", err)
		}
		difference := now.Since(before)
		if len(difference) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the tests changed this host (+ is there now, - was there):\n  %s", strings.Join(difference, "\n  "))
		}
	}
}
