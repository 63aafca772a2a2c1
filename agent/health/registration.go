package health

import (
	"fmt"
	"strings"
	"time"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// registerPatience is how long after its start a kubelet may take to register its Node.
	registerPatience = 10 * time.Second
	// registerFailed is what the kubelet's log has in each line about a try that failed (pkg/kubelet/kubelet_node_status.go).
	registerFailed = "Unable to register node with API server"
)

// Presence is whether something is there, which nobody knows at first.
type Presence int

// What is known of a Node.
const (
	Unknown Presence = iota
	Present
	Absent
)

// Registration is what is known of the kubelet's registering its Node.
type Registration struct {
	// Name is the Node's, and Node says whether it is there.
	Name string
	Node Presence
	// KubeletStarted is when the kubelet that runs was started, zero when none does.
	KubeletStarted time.Time
	// AgentStarted is since when the Nodes are listed.
	AgentStarted time.Time
	Now          time.Time
	// KubeletSaid is the last line with a text in it that the kubelet has written to LogFile, empty when there is none.
	KubeletSaid func(text string) string
	LogFile     string
}

// Failure fails while the kubelet answers but has not registered its Node, with the kubelet's own words: it answers as if
// all were well, and its log is on the machine only. It fails as well when the Nodes cannot be listed, by which alone that
// would be noticed.
func (r Registration) Failure() error {
	if r.Node == Present || r.Now.Sub(r.KubeletStarted) < registerPatience {
		return nil
	}
	if r.Node == Unknown {
		if r.Now.Sub(r.AgentStarted) < registerPatience {
			return nil
		}
		return &Failure{Reason: fleetv1.ReasonStarting, Message: fmt.Sprintf(
			"the Nodes are not known yet, nor whether %s is one: the agent could not list them since it was started, and its log says why", r.Name)}
	}
	message := fmt.Sprintf("there is no Node %s: ", r.Name)
	if line := r.KubeletSaid(registerFailed); line != "" {
		message += "the kubelet says: " + withoutHeader(line)
	} else {
		message += "the kubelet has not registered it, and does not say why in " + r.LogFile
	}
	return &Failure{Reason: fleetv1.ReasonNodeNotRegistered, Message: message}
}

// withoutHeader takes off a log line what klog puts before its text, which differs each time.
func withoutHeader(line string) string {
	if _, text, found := strings.Cut(line, "] "); found {
		return text
	}
	return line
}
