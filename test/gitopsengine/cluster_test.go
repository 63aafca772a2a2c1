package gitopsengine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// root is the module that has the cluster and the scripts under test, as seen from this package.
const root = "../.."

// cluster is the administrator's way to it.
var cluster *rest.Config

func TestMain(m *testing.M) {
	// A watch tells as an error that it ended, and the API server warns of each old kind: nobody reads that among a test's results.
	klog.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	code, err := inCluster(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// inCluster runs the tests while there is a cluster.
func inCluster(tests func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "drover-gitopsengine-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "cluster")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./test/cluster")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the cluster: %w\n%s", err, out)
	}
	running := exec.Command(program)
	running.Dir, running.Stderr = root, os.Stderr
	running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	end, err := running.StdinPipe()
	if err != nil {
		return 0, err
	}
	says, err := running.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := running.Start(); err != nil {
		return 0, fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, end.Close(), running.Wait()) }()
	kubeconfig, err := bufio.NewReader(says).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the cluster did not come up: %w", err)
	}
	if cluster, err = clientcmd.BuildConfigFromFlags("", strings.TrimSpace(kubeconfig)); err != nil {
		return 0, err
	}
	cluster.QPS, cluster.Burst = 1000, 1000
	return tests(), nil
}
