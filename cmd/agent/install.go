package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-dev/drover/agent/atomicfile"
	"github.com/drover-dev/drover/agent/reset"
)

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

func newInstall() *cobra.Command {
	return &cobra.Command{
		Use: "install", Short: "Have systemd run the agent on this machine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat("/run/systemd/system"); err != nil {
				return errors.New("systemd does not run this machine: have its init run `drover-agent run`, and again whenever it ends")
			}
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the agent's own binary: %w", err)
			}
			if err := atomicfile.Write(reset.UnitPath, []byte(unit(binary)), 0o644); err != nil {
				return err
			}
			if err := start(cmd.Context(), filepath.Base(reset.UnitPath)); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Installed %s and started it\n", reset.UnitPath)
			return err
		},
	}
}

// start has systemd run a unit that was written, now and after each boot. One that runs already is restarted, or the
// program that was there before would go on; KillMode=process keeps the node's components running meanwhile.
func start(ctx context.Context, unit string) error {
	for _, args := range [][]string{{"daemon-reload"}, {"enable", unit}, {"restart", unit}} {
		if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
