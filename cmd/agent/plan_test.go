package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/agent"
	"github.com/drover-dev/drover/api/disruption"
)

func TestAPlanReadsAsATable(t *testing.T) {
	var out strings.Builder
	if err := writePrediction(&out, &agent.Prediction{
		Node: "node-1", From: "r1", To: "r2",
		Changes: []disruption.Change{
			{Field: "kubelet.maxPods", Class: disruption.Restart, Components: []string{"kubelet"}, Message: "the kubelet reads it when it starts"},
			{Field: "sysctls", Class: disruption.None, Message: "the agent writes them to the kernel"},
		},
		Effects: map[string]string{"kubelet": agent.Restarts},
		Written: []string{"/etc/drover/components/kubelet.yaml"},
		Notes:   []string{"no agent runs here"},
	}); err != nil {
		t.Fatal(err)
	}
	want := `node-1, from revision r1 to r2:

FIELD            CLASS    RESTARTS  WHY
kubelet.maxPods  Restart  kubelet   the kubelet reads it when it starts
sysctls          None     -         the agent writes them to the kernel

Class: Restart, pods go on
Processes: kubelet restarts
Writes /etc/drover/components/kubelet.yaml
Note: no agent runs here
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("the text (-want +got):\n%s", diff)
	}
}

func TestAPlanOfNoChangeSaysSo(t *testing.T) {
	var out strings.Builder
	if err := writePrediction(&out, &agent.Prediction{Node: "node-1", From: "r1", To: "r1"}); err != nil {
		t.Fatal(err)
	}
	if want := "node-1 runs that already: nothing differs from revision r1\nProcesses: all go on\n"; out.String() != want {
		t.Errorf("the text is %q, want %q", out.String(), want)
	}
}

func TestAPlanWithoutAFileSaysWhatToGive(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no flag":          {[]string{"plan"}, `"desired" not set`},
		"a file not there": {[]string{"plan", "--desired", "/nowhere.yaml"}, "/nowhere.yaml"},
		"no node":          {[]string{"plan", "--desired", "/dev/null", "--bootstrap", "/nowhere.json"}, "bootstrap document"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := newCommand()
			cmd.SetArgs(test.args)
			if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q in it", err, test.want)
			}
		})
	}
}
