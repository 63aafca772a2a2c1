package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// report is cut down from ginkgo's own.
const report = `[{"SpecReports": [
	{"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "", "State": "passed"},
	{"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "should run", "State": "passed", "RunTime": 1000000000},
	{"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "should sleep", "State": "skipped"},
	{"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "needs a GPU", "State": "skipped", "Failure": {"Message": "no GPU here"}},
	{"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "should wait", "State": "timedout", "Failure": {"Message": "waited\nin vain"}},
	{"ContainerHierarchyTexts": ["[sig-apps] Images"], "LeafNodeType": "It", "LeafNodeText": "should be Alpine", "State": "failed", "Failure": {"Message": "is Debian"}}
]}]`

func TestVerdict(t *testing.T) {
	alpine := failure{Test: "Images should be Alpine", Reason: "the stand-in is not"}
	tests := map[string]struct {
		reason  string
		known   []failure
		want    []string
		wantErr string
	}{
		"Known": {
			reason: "what is known does not count, what is not known does",
			known:  []failure{alpine},
			want: []string{
				"SKIPPED by itself  [sig-node] Pods needs a GPU: no GPU here",
				"FAILED as known    [sig-apps] Images should be Alpine: the stand-in is not",
				"FAILED             [sig-node] Pods should wait: waited",
				"sig-apps           0 passed, 0 failed, 1 failed as known, 0 skipped themselves",
				"sig-node           1 passed, 1 failed, 0 failed as known, 1 skipped themselves",
				"1 passed, 1 failed, 1 failed as known, 1 skipped themselves, in 1m0s; output.log tells all.",
			},
			wantErr: "1 tests failed that must pass",
		},
		"AllKnown": {
			reason: "a test that was to fail and passed is told, and is no failure",
			known:  []failure{alpine, {Test: "should wait", Reason: "slow"}, {Test: "should run", Reason: "lame"}},
			want: []string{
				"SKIPPED by itself  [sig-node] Pods needs a GPU: no GPU here",
				"FAILED as known    [sig-node] Pods should wait: slow",
				"FAILED as known    [sig-apps] Images should be Alpine: the stand-in is not",
				"PASSED unlike      [sig-node] Pods should run: if it does everywhere, take it out of hack/conformance/known.yaml",
				"sig-apps           0 passed, 0 failed, 1 failed as known, 0 skipped themselves",
				"sig-node           1 passed, 0 failed, 1 failed as known, 1 skipped themselves",
				"1 passed, 0 failed, 2 failed as known, 1 skipped themselves, in 1m0s; output.log tells all.",
			},
		},
	}
	path := filepath.Join(t.TempDir(), reportFile)
	if err := os.WriteFile(path, []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	ran, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v := judge(ran, tc.known)
			var out strings.Builder
			v.print(&out, time.Minute, "output.log")
			if diff := cmp.Diff(tc.want, strings.Split(strings.TrimSpace(out.String()), "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			got := ""
			if err := v.err(); err != nil {
				got = err.Error()
			}
			if got != tc.wantErr {
				t.Errorf("%s: err() = %q, want %q", tc.reason, got, tc.wantErr)
			}
		})
	}
}

func TestARunWithoutTestsFails(t *testing.T) {
	if judge(nil, nil).err() == nil {
		t.Error("a label filter that matches nothing passed")
	}
}

func TestKnownFailuresHaveReasons(t *testing.T) {
	if _, err := readKnown(); err != nil {
		t.Error(err)
	}
}
