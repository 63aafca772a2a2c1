package main

import (
	"context"
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // exec and oidc credentials
)

// kubectl does what upstream's main does: plugins on PATH included.
func kubectl(context.Context) int {
	_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args)) // before flags are parsed, as plugins and kuberc log earlier
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints kubectl's own words and exits
	}
	return 0
}
