// Command noskip reads what `go test -json` prints, from the files it is given, and fails if any test was skipped: a
// test that does not run proves nothing, and nobody reads that it did not.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// event is the part of a test2json event that matters (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string) error {
	if len(files) == 0 {
		return errors.New("usage: noskip FILE…")
	}
	var all []string
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("look for skipped tests: %w", err)
		}
		found, err := skipped(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("look for skipped tests in %s: %w", name, err)
		}
		all = append(all, found...)
	}
	for _, test := range all {
		fmt.Fprintln(os.Stderr, "skipped:", test)
	}
	if len(all) > 0 {
		return fmt.Errorf("%d tests were skipped; none may be", len(all))
	}
	return nil
}

// skipped lists the tests that were skipped. A package without test files is reported as skipped too, but without a
// test's name.
func skipped(r io.Reader) ([]string, error) {
	var found []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("not a test event: %w", err)
		}
		if e.Action == "skip" && e.Test != "" {
			found = append(found, e.Package+" "+e.Test)
		}
	}
	return found, lines.Err()
}
