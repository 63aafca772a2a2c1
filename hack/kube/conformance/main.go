//go:build conformance

// Command conformance is upstream's node conformance suite: of its end-to-end tests those that any node must pass,
// and no more, which builds in seconds beside the kubelet. `make conformance` runs it through ginkgo's program.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"k8s.io/component-base/logs"
	"k8s.io/kubernetes/test/e2e/common"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	e2enode "k8s.io/kubernetes/test/e2e/framework/node"
	"k8s.io/kubernetes/test/utils/image"

	// As upstream's own suite does: what a failing test tells about its cluster.
	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
	_ "k8s.io/kubernetes/test/utils/format"
)

// images are those that the tests' pods run; the registry for tests that must fail to pull is not among them.
var images = []image.ImageID{image.Agnhost, image.AgnhostPrev, image.BusyBox, image.GlibcDnsTesting, image.Nginx,
	image.Nonewprivs, image.NonRoot, image.Pause}

// outcome is what ginkgo tells of the whole run.
type outcome struct{ failed bool }

// Fail is called by ginkgo.
func (o *outcome) Fail() { o.failed = true }

func main() {
	testing.Init() // ginkgo passes flags of go test's
	list := flag.Bool("needed-images", false, "print the names of the images that these tests use, and exit")
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	flag.Parse()
	if *list {
		for _, id := range images {
			fmt.Println(image.GetE2EImage(id))
		}
		return
	}
	framework.AfterReadingAllFlags(&framework.TestContext)
	if run().failed {
		os.Exit(1)
	}
}

func run() outcome {
	logs.InitLogs()
	defer logs.FlushLogs()
	gomega.RegisterFailHandler(framework.Fail)
	suite, reporter := framework.CreateGinkgoConfig()
	var o outcome
	ginkgo.RunSpecs(&o, "Kubernetes node conformance", suite, reporter)
	return o
}

var _ = ginkgo.SynchronizedBeforeSuite(func(ctx context.Context) []byte {
	client, err := framework.LoadClientset()
	framework.ExpectNoError(err, "load the kubeconfig")
	framework.ExpectNoError(e2enode.WaitForAllNodesSchedulable(ctx, client, framework.NewTimeoutContext().NodeSchedulable))
	return nil
}, func(ctx context.Context, _ []byte) {
	common.CurrentSuite = common.E2E
	framework.TestContext.IPFamily = "ipv4" // the demo fleet's
	client, err := framework.LoadClientset()
	framework.ExpectNoError(err, "load the kubeconfig")
	nodes, err := e2enode.GetReadySchedulableNodes(ctx, client)
	framework.ExpectNoError(err)
	framework.TestContext.CloudConfig.NumNodes = len(nodes.Items)
})
