package network

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Health is the condition NetworkHealthy as the machine shows it now, without its transition time.
func (m *Manager) Health() metav1.Condition {
	status, reason, message := m.verdict()
	return metav1.Condition{Type: v1alpha1.NetworkHealthyCondition, Status: status, Reason: reason, Message: message}
}

func (m *Manager) verdict() (status metav1.ConditionStatus, reason, message string) {
	m.mu.Lock()
	config, own, ready, failure := m.config, m.own, m.ready, m.failure
	synced, nodeless := m.synced, !slices.ContainsFunc(m.nodes, func(n Node) bool { return n.Name == config.Node })
	m.mu.Unlock()
	switch {
	case config.Settings.Mode == v1alpha1.NetworkModeExternal:
		return metav1.ConditionTrue, v1alpha1.ReasonDisabled, "The pod network is left to a CNI of the user's own"
	case failure != nil:
		return metav1.ConditionFalse, v1alpha1.ReasonProbeFailed, failure.Error()
	case len(own) == 0 && !synced:
		return metav1.ConditionFalse, v1alpha1.ReasonStarting, "The Nodes are not known yet, nor which range of addresses this one's pods have"
	case len(own) == 0 && nodeless:
		return metav1.ConditionFalse, v1alpha1.ReasonStarting, fmt.Sprintf("There is no Node %s, whose pod range is waited for", config.Node)
	case len(own) == 0:
		return metav1.ConditionFalse, v1alpha1.ReasonStarting, "The Node has no pod range yet; the controller manager gives it one (--allocate-node-cidrs)"
	case !ready:
		return metav1.ConditionFalse, v1alpha1.ReasonStarting, "The pod network is being set up"
	}
	if _, err := os.Stat(filepath.Join(m.CNIDir, ConflistName)); err != nil {
		return metav1.ConditionFalse, v1alpha1.ReasonProbeFailed, fmt.Sprintf("The CNI configuration is gone: %v", err)
	}
	addresses, err := m.Kernel.BridgeAddresses()
	if err != nil {
		return metav1.ConditionFalse, v1alpha1.ReasonProbeFailed, err.Error()
	}
	for _, cidr := range own {
		if a, hinders := hindering(addresses, cidr); hinders {
			m.kick()
			return metav1.ConditionFalse, v1alpha1.ReasonProbeFailed, fmt.Sprintf("No pod can be started: the bridge %s has the address %s, where the Node's range %s wants %s; it is being set again", Bridge, a, cidr, gateway(cidr))
		}
	}
	found, err := m.faults()
	if err != nil {
		return metav1.ConditionFalse, v1alpha1.ReasonProbeFailed, err.Error()
	}
	if len(found) > 0 {
		m.kick()
		return metav1.ConditionFalse, kind(found), sentence(found)
	}
	return metav1.ConditionTrue, v1alpha1.ReasonHealthy, fmt.Sprintf("Pods have %s", own[0])
}

// kind is the reason of faults, ProbeFailed unless all that is wrong is beyond mending.
func kind(faults []string) string {
	if slices.ContainsFunc(faults, func(f string) bool { return !strings.HasSuffix(f, cutOff) }) {
		return v1alpha1.ReasonProbeFailed
	}
	return v1alpha1.ReasonPodCutOff
}

// shownFaults is how many faults are told in full.
const shownFaults = 3

// sentence is a list of faults for people.
func sentence(faults []string) string {
	text := strings.Join(faults[:min(len(faults), shownFaults)], "; ")
	if more := len(faults) - shownFaults; more > 0 {
		text += fmt.Sprintf("; %d more", more)
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// faults are what is wrong with what the last run made, and with what the plugins did. Of pods that come or go meanwhile
// nothing is said.
func (m *Manager) faults() ([]string, error) {
	m.mu.Lock()
	config, nodes, done := m.config, m.nodes, m.done
	m.mu.Unlock()
	before, err := m.attachments()
	if err != nil {
		return nil, err
	}
	want := wanted{own: done.own, former: done.former, pods: done.pods, routes: done.routes, forwarding: forwarding(done.own, config.Sysctls)}
	seen, err := m.look(want, before)
	if err != nil {
		return nil, err
	}
	if config.Drift.Rules == v1alpha1.DriftIgnore {
		seen.masquerades = true
	}
	if config.Drift.Sysctls == v1alpha1.DriftIgnore {
		seen.closed = nil
	}
	after, err := m.attachments()
	pods := lasting(before, after)
	want.gateways = gateways(pods, done.own, taken(config.Node, nodes))
	return faults(want, pods, seen), err
}

// Status is the component "network". It has no process.
func (m *Manager) Status() v1alpha1.ComponentStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	status := v1alpha1.ComponentStatus{Name: v1alpha1.ComponentNetwork, State: v1alpha1.ComponentStarting}
	switch {
	case m.config.Settings.Mode == v1alpha1.NetworkModeExternal:
		status.State = v1alpha1.ComponentDisabled
	case len(m.own) == 0:
		status.State = v1alpha1.ComponentWaiting
	case m.ready:
		status.State = v1alpha1.ComponentRunning
	}
	if !m.started.IsZero() {
		status.StartedAt = metav1.NewTime(m.started.Truncate(1e9))
	}
	return status
}
