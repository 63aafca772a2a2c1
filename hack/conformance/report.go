package main

import (
	_ "embed" // known.yaml
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const reportFile = "report.json"

// test is what became of one; the names are those of ginkgo's report.
type test struct {
	ContainerHierarchyTexts []string
	LeafNodeType            string
	LeafNodeText            string
	State                   string
	RunTime                 time.Duration
	Failure                 struct{ Message string }
}

func (t test) name() string {
	return strings.Join(append(slices.Clone(t.ContainerHierarchyTexts), t.LeafNodeText), " ")
}

// readReport returns what ran: tests, and the set-up of the suite if it failed.
func readReport(path string) ([]test, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var suites []struct{ SpecReports []test }
	if err := json.Unmarshal(content, &suites); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	var ran []test
	for _, suite := range suites {
		for _, t := range suite.SpecReports {
			chosen := t.LeafNodeType == "It" && t.State != "skipped" || t.Failure.Message != "" && t.State == "skipped"
			if chosen || t.LeafNodeType != "It" && t.State != "passed" {
				ran = append(ran, t)
			}
		}
	}
	return ran, nil
}

//go:embed known.yaml
var knownYAML []byte

// failure is a test known to fail, by a part of its name, and why.
type failure struct {
	Test   string `json:"test"`
	Reason string `json:"reason"`
}

func readKnown() ([]failure, error) {
	var known []failure
	if err := yaml.UnmarshalStrict(knownYAML, &known); err != nil {
		return nil, fmt.Errorf("parse known.yaml: %w", err)
	}
	for _, f := range known {
		if f.Test == "" || f.Reason == "" {
			return nil, fmt.Errorf("known.yaml: each failure needs a test and a reason, and %+v lacks one", f)
		}
	}
	return known, nil
}

// sigs finds the interest group that a test is of, in its name.
var sigs = regexp.MustCompile(`\[(sig-[a-z-]+)\]`)

func (t test) sig() string {
	if found := sigs.FindStringSubmatch(t.name()); found != nil {
		return found[1]
	}
	return "no sig"
}

// tally counts tests by what became of them.
type tally struct{ passed, failed, known, skipped int }

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d failed as known, %d skipped themselves", t.passed, t.failed, t.known, t.skipped)
}

func (t tally) plus(o tally) tally {
	return tally{passed: t.passed + o.passed, failed: t.failed + o.failed, known: t.known + o.known, skipped: t.skipped + o.skipped}
}

// verdict sorts the tests that ran.
type verdict struct {
	sigs    map[string]tally
	skipped []test
	failed  []test
	known   []failure // by their whole names
	mended  []string  // known to fail, and passed
}

func judge(tests []test, known []failure) verdict {
	v := verdict{sigs: map[string]tally{}}
	for _, t := range tests {
		at := slices.IndexFunc(known, func(f failure) bool { return strings.Contains(t.name(), f.Test) })
		var counted tally
		switch {
		case t.State == "passed":
			counted.passed++
			if at >= 0 {
				v.mended = append(v.mended, t.name())
			}
		case t.State == "skipped":
			counted.skipped++
			v.skipped = append(v.skipped, t)
		case at >= 0:
			counted.known++
			v.known = append(v.known, failure{Test: t.name(), Reason: known[at].Reason})
		default:
			counted.failed++
			v.failed = append(v.failed, t)
		}
		v.sigs[t.sig()] = v.sigs[t.sig()].plus(counted)
	}
	return v
}

func (v verdict) total() tally {
	var total tally
	for _, counted := range v.sigs {
		total = total.plus(counted)
	}
	return total
}

func (v verdict) print(w io.Writer, took time.Duration, log string) {
	line := func(format string, arguments ...any) { _, _ = fmt.Fprintf(w, format+"\n", arguments...) }
	for _, t := range v.skipped {
		line("SKIPPED by itself  %s: %s", t.name(), firstLine(t.Failure.Message))
	}
	for _, f := range v.known {
		line("FAILED as known    %s: %s", f.Test, f.Reason)
	}
	for _, name := range v.mended {
		line("PASSED unlike      %s: if it does everywhere, take it out of hack/conformance/known.yaml", name)
	}
	for _, t := range v.failed {
		line("FAILED             %s: %s", t.name(), firstLine(t.Failure.Message))
	}
	for _, sig := range slices.Sorted(maps.Keys(v.sigs)) {
		line("%-18s %s", sig, v.sigs[sig])
	}
	line("%s, in %s; %s tells all.", v.total(), took.Round(time.Second), log)
}

func (v verdict) err() error {
	switch {
	case len(v.failed) > 0:
		return fmt.Errorf("%d tests failed that must pass", len(v.failed))
	case v.total().passed == 0:
		return fmt.Errorf("no test ran: is the label filter right?")
	default:
		return nil
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
