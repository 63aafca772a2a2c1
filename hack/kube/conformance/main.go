//go:build conformance

// Command conformance is upstream's conformance suite: of its end-to-end tests the packages that hold what any node and
// any cluster must pass. `make conformance` runs it through ginkgo's program.
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
	"k8s.io/kubernetes/test/conformance/testdata"
	"k8s.io/kubernetes/test/e2e/common"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	e2enode "k8s.io/kubernetes/test/e2e/framework/node"
	"k8s.io/kubernetes/test/e2e/framework/testfiles"
	manifests "k8s.io/kubernetes/test/e2e/testing-manifests"
	"k8s.io/kubernetes/test/fixtures"
	"k8s.io/kubernetes/test/utils/image"

	// Where tests labelled Conformance are, beside test/e2e/common.
	_ "k8s.io/kubernetes/test/e2e/apimachinery"
	_ "k8s.io/kubernetes/test/e2e/apps"
	_ "k8s.io/kubernetes/test/e2e/architecture"
	_ "k8s.io/kubernetes/test/e2e/auth"
	_ "k8s.io/kubernetes/test/e2e/dra"
	_ "k8s.io/kubernetes/test/e2e/instrumentation"
	_ "k8s.io/kubernetes/test/e2e/kubectl"
	_ "k8s.io/kubernetes/test/e2e/network"
	_ "k8s.io/kubernetes/test/e2e/node"
	_ "k8s.io/kubernetes/test/e2e/scheduling"
	_ "k8s.io/kubernetes/test/e2e/storage"

	// As upstream's own suite does: what a failing test tells about its cluster.
	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
)

// images are those that the tests' pods run; the registry for tests that must fail to pull is not among them.
var images = []image.ImageID{image.Agnhost, image.AgnhostPrev, image.APIServer, image.BusyBox, image.Etcd, image.GlibcDnsTesting,
	image.Kitten, image.Nautilus, image.Nginx, image.Nonewprivs, image.NonRoot, image.Pause}

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
	for _, files := range []testfiles.FileSource{manifests.GetE2ETestingManifestsFS(), fixtures.GetTestFixturesFS(), testdata.GetConformanceTestdataFS()} {
		testfiles.AddFileSource(files)
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
	ginkgo.RunSpecs(&o, "Kubernetes conformance", suite, reporter)
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
