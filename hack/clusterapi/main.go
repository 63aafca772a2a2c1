// Command clusterapi prints the CustomResourceDefinitions of Cluster API that Drover's embedded engine needs, taken
// from the module that go.mod pins: go run ./hack/clusterapi > dist/cluster-api-crds.yaml.
package main

import (
	"fmt"
	"os"

	"github.com/drover-dev/drover/hack/clusterapi/crds"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "clusterapi:", err)
		os.Exit(1)
	}
}

func run() error {
	loaded, err := crds.Load(".")
	if err != nil {
		return err
	}
	rendered, err := crds.Render(loaded)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(rendered)
	return err
}
