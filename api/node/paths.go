package node

// Where things are on a node.
const (
	// BootstrapPath is the file with the Bootstrap document, mode 0600.
	BootstrapPath = "/etc/drover/bootstrap.json"
	// StaticPodDir is where whoever has the machine puts manifests of static pods, which its kubelet runs whether there is an
	// API server or not.
	StaticPodDir = "/etc/drover/static-pods"
	// StateDir holds what must survive a reboot: identity, bundles, generations, the journal.
	StateDir = "/var/lib/drover"
	// AgentDir has a directory for each version of the agent.
	AgentDir = StateDir + "/agent"
	// RunDir holds what must not: process records, sockets and BootReportPath.
	RunDir = "/run/drover"
	// LogDir holds one log file for each component.
	LogDir = "/var/log/drover"
	// BootReportPath is the file with the BootReport, which the infrastructure provider reads while the agent
	// has no identity to report with.
	BootReportPath = "/run/drover/boot.json"
)
