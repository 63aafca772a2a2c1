// Command manager is Drover's controller manager: it makes worker nodes of NodePools.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drover-dev/drover/cmd/manager/app"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	options := app.DefaultOptions()
	flags := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	options.AddFlags(flags)
	showVersion := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: the manager takes flags only", flags.Arg(0))
	}
	if *showVersion {
		fmt.Println(app.Version())
		return nil
	}
	return app.Run(ctrl.SetupSignalHandler(), options)
}
