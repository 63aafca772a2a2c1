package service

import "strings"

// UnitPath is the systemd unit that Install writes.
const UnitPath = "/etc/systemd/system/drover-agent.service"

// unit is the systemd unit. KillMode=process leaves the node's components, which are in the unit's cgroup, alone when the
// agent stops or is replaced; Delegate=yes keeps systemd out of what a container runtime makes of cgroups there.
func unit(binary string) string {
	return strings.NewReplacer("@binary@", binary).Replace(`[Unit]
Description=Drover node agent
Documentation=https://github.com/drover-dev/drover
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=@binary@ run
Restart=always
RestartSec=1
KillMode=process
Delegate=yes
OOMScoreAdjust=-999
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`)
}
