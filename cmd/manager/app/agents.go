package app

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/drover-dev/drover/controllers/host"
)

// agentName is the agent's program beside the manager's; that of another architecture has it behind a dash.
const agentName = "drover-agent"

var forPlatform = regexp.MustCompile(`^linux/([a-z0-9]+)=(.+)$`)

// completeAgents finds the agents. Only those that were asked for must be there, and for local machines the one of this
// binary's architecture. Whether each is what it is said to be is seen when it is first read.
func (o Options) completeAgents() (Options, error) {
	own, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find the agent beside this binary: %w: set --agent-binary", err)
	}
	o.agents = agentsBeside(filepath.Dir(own))
	asked := map[string]bool{}
	for _, value := range o.AgentBinaries {
		architecture, path := parseAgent(value)
		if asked[architecture] {
			return o, fmt.Errorf("--agent-binary is given twice for linux/%s", architecture)
		}
		if !slices.Contains(host.Architectures(), architecture) {
			return o, fmt.Errorf("--agent-binary names the architecture %q, which is none of %s", architecture, strings.Join(host.Architectures(), ", "))
		}
		if !isFile(path) {
			return o, fmt.Errorf("there is no agent at %s: --agent-binary takes a file, or linux/<architecture>=file", path)
		}
		asked[architecture], o.agents[architecture] = true, path
	}
	if o.LocalRoot != "" && o.agents[runtime.GOARCH] == "" {
		return o, fmt.Errorf("there is no agent at %s to put onto local machines: set --agent-binary, or leave out --local-root", filepath.Join(filepath.Dir(own), agentName))
	}
	return o, nil
}

// agentsBeside are the agents in the manager's own directory, by architecture.
func agentsBeside(dir string) map[string]string {
	agents := map[string]string{}
	for _, architecture := range host.Architectures() {
		if path := filepath.Join(dir, agentName+"-"+architecture); isFile(path) {
			agents[architecture] = path
		}
	}
	if path := filepath.Join(dir, agentName); isFile(path) {
		agents[runtime.GOARCH] = path
	}
	return agents
}

// parseAgent reads a value of --agent-binary.
func parseAgent(value string) (architecture, path string) {
	if m := forPlatform.FindStringSubmatch(value); m != nil {
		return m[1], m[2]
	}
	return runtime.GOARCH, value
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
