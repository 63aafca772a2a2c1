package service

import (
	"strings"

	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/api/node"
)

// What Install writes. The components are in NodeUnit's cgroup, each in one of its own, so that the agent's unit can be
// stopped, replaced and accounted for by itself.
const (
	UnitPath      = "/etc/systemd/system/drover-agent.service"
	NodeUnitPath  = "/etc/systemd/system/drover-node.service"
	SlicePath     = "/etc/systemd/system/drover.slice"
	NetworkdPath  = "/etc/systemd/networkd.conf.d/50-drover.conf"
	binaryPattern = "@binary@"
)

// sliceUnit is what the agent and the components are accounted for under.
const sliceUnit = `[Unit]
Description=Drover node agent and the components of its node
Documentation=https://github.com/drover-dev/drover

[Slice]
CPUAccounting=yes
MemoryAccounting=yes
IOAccounting=yes
TasksAccounting=yes
`

// agentUnit runs the agent. KillMode=process leaves alone what an agent from before NodeUnit started in its own cgroup.
// The soft limit on open files is the kernel's customary one: containers inherit it, and programs in them that close or
// clear every possible descriptor take minutes over a million; Go raises its own to the hard one.
//
// The agent says that it is ready at once, but for a new version of it, which is when it has proved itself: what is not by then
// is ended, and the one before it comes back. One that is ready says that it lives as long as it can look at its own state, which
// it cannot while it writes that to a disk: one that is overloaded or loses a path takes minutes over it, and an agent that was
// ended for that would have to read from the same disk to start. A hung agent is in nobody's way meanwhile, as pods and
// components go on; five minutes are what a node's conditions take to grow old.
const agentUnit = `[Unit]
Description=Drover node agent
Documentation=https://github.com/drover-dev/drover
Wants=network-online.target
Requires=drover-node.service
After=network-online.target drover-node.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
TimeoutStartSec=300
WatchdogSec=300
Slice=drover.slice
ExecStart=@binary@ run
Restart=always
RestartSec=1
KillMode=process
Delegate=yes
OOMPolicy=continue
OOMScoreAdjust=-999
LimitNOFILE=1024:1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

// nodeUnit has the cgroup of the components, and no process of its own. It is there for the order of a shutdown: the agent
// stops first, so that it starts nothing again; then the pods and the components, by ExecStop; and only then what they
// work with. Without it they would outlive D-Bus, the network and their filesystems, until systemd kills what is left.
const nodeUnit = `[Unit]
Description=Components of the node that Drover's agent runs
Documentation=https://github.com/drover-dev/drover
Before=drover-agent.service
After=dbus.service systemd-logind.service systemd-resolved.service nss-lookup.target
After=systemd-networkd.service NetworkManager.service networking.service network.target local-fs.target remote-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
Slice=drover.slice
ExecStart=/bin/true
ExecStop=@binary@ halt
TimeoutStopSec=120
Delegate=yes
OOMPolicy=continue
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

// networkdConf keeps networkd from removing what it did not make itself, as the routes to other nodes' pods.
const networkdConf = `# Written by drover-agent, and removed by its reset.
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
`

// unit is the text of a unit, which runs the agent by the link that leads to the one that proved itself last.
func unit(text string) string {
	return strings.ReplaceAll(text, binaryPattern, selfupdate.CurrentPath(node.AgentDir))
}

// Units are the systemd units that run the agent, by their paths.
func Units() map[string]string {
	return map[string]string{SlicePath: sliceUnit, NodeUnitPath: unit(nodeUnit), UnitPath: unit(agentUnit)}
}
