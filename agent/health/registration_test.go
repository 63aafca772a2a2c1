package health

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAKubeletWhoseNodeIsNotThereIsNotCalledHealthyForLong(t *testing.T) {
	now := time.Unix(10000, 0)
	const refusal = `E1129 06:56:49.123456    4711 kubelet_node_status.go:108] "Unable to register node with API server" err="admission webhook denied the request" node="node-1"`
	for _, c := range []struct {
		reason         string
		node           Presence
		kubelet, agent time.Duration // since their start; no kubelet runs at 0
		said           string
		want           string
	}{
		{"its Node is there", Present, time.Hour, time.Hour, refusal, ""},
		{"it has only just been started", Absent, registerPatience - time.Second, time.Hour, refusal, ""},
		{"the Nodes are only just being listed by an agent that adopted it", Unknown, time.Hour, registerPatience - time.Second, refusal, ""},
		{"they cannot be listed", Unknown, time.Hour, registerPatience, refusal,
			"Starting: the Nodes are not known yet, nor whether node-1 is one: the agent could not list them since it was started, and its log says why"},
		{"it may not register its Node and says why, without what differs each time", Absent, registerPatience, time.Hour, refusal,
			`NodeNotRegistered: there is no Node node-1: the kubelet says: "Unable to register node with API server" err="admission webhook denied the request" node="node-1"`},
		{"no kubelet runs that could be waited for", Absent, 0, time.Hour, "", "NodeNotRegistered: there is no Node node-1: the kubelet has not registered it, and does not say why in /var/log/drover/kubelet.log"},
		{"a line without a header is taken whole", Absent, time.Hour, time.Hour, "Unable to register node with API server", "NodeNotRegistered: there is no Node node-1: the kubelet says: Unable to register node with API server"},
		{"it does not say why", Absent, time.Hour, time.Hour, "", "NodeNotRegistered: there is no Node node-1: the kubelet has not registered it, and does not say why in /var/log/drover/kubelet.log"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var kubeletStarted time.Time
			if c.kubelet > 0 {
				kubeletStarted = now.Add(-c.kubelet)
			}
			err := Registration{
				Name: "node-1", Node: c.node, KubeletStarted: kubeletStarted, AgentStarted: now.Add(-c.agent), Now: now, LogFile: "/var/log/drover/kubelet.log",
				KubeletSaid: func(text string) string {
					if !strings.Contains(c.said, text) {
						return ""
					}
					return c.said
				},
			}.Failure()
			got := ""
			if failure := (*Failure)(nil); errors.As(err, &failure) {
				got = failure.Reason + ": " + failure.Message
			} else if err != nil {
				t.Errorf("%v has no reason of its own", err)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
