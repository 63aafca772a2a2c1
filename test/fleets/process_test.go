package fleets

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/drover-dev/drover/internal/procfs"
	"github.com/drover-dev/drover/test/apicount"
	"github.com/drover-dev/drover/test/apiserver"
)

const (
	// sideVariable has a process of this binary be the manager of a side, and profileVariable serve its profiles at an address.
	sideVariable    = "DROVER_FLEETS_SIDE"
	profileVariable = "DROVER_FLEETS_PROFILE"
)

// newManager makes the manager of a side.
type newManager func(ctx context.Context, config *rest.Config) (manager.Manager, error)

var managers = map[string]newManager{"drover": newDrover, "clusterapi": newClusterAPI}

// asked is what a manager's process tells of itself on its standard output, for each line on its standard input.
type asked struct {
	Requests, Writes int
	Table            string
}

// serve is the process of a manager. It ends with its standard input.
func serve(side, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	var counter apicount.Counter
	counter.Wrap(config)
	errorsAlone := funcr.Options{Verbosity: -1}
	ctrl.SetLogger(funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, errorsAlone))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	mgr, err := managers[side](ctx, config)
	if err != nil {
		return err
	}
	if address := os.Getenv(profileVariable); address != "" {
		go func() { _ = http.ListenAndServe(address, nil) }() //nolint:gosec // it ends with the process
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			counts := counter.Counts()
			var table textBuilder
			_ = apicount.Print(&table, counts, 1)
			_ = json.NewEncoder(os.Stdout).Encode(asked{apicount.Requests(counts), apicount.Writes(counts), string(table)})
		}
	}()
	return <-ended
}

type textBuilder []byte

func (t *textBuilder) Write(p []byte) (int, error) { *t = append(*t, p...); return len(p), nil }

// process is a manager's.
type process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	ask    *json.Encoder
	answer *json.Decoder
}

// start starts the manager of a side.
func start(tb testing.TB, side string, server *apiserver.Server) *process {
	tb.Helper()
	kubeconfig, err := server.KubeconfigFile()
	if err != nil {
		tb.Fatal(err)
	}
	log, err := os.Create(filepath.Join(server.Dir, "manager.log"))
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], kubeconfig)
	cmd.Env = append(os.Environ(), sideVariable+"="+side)
	cmd.Stderr, cmd.SysProcAttr = log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		dead := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		dead.Stop()
		if tb.Failed() {
			text, _ := os.ReadFile(log.Name())
			tb.Logf("the log of %s ends with:\n%s", side, text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	return &process{tb: tb, cmd: cmd, ask: json.NewEncoder(in), answer: json.NewDecoder(out)}
}

// cost is what a manager has taken since it started.
type cost struct {
	at time.Time
	asked
	cpu time.Duration
	// peak is the most memory that it had resident, in bytes.
	peak float64
}

func (p *process) cost() cost {
	p.tb.Helper()
	c := cost{at: time.Now()}
	if err := p.ask.Encode("?"); err != nil {
		p.tb.Fatalf("ask the manager: %v", err)
	}
	if err := p.answer.Decode(&c.asked); err != nil {
		p.tb.Fatalf("hear the manager: %v", err)
	}
	stat, err := procfs.ReadStat(p.cmd.Process.Pid)
	if err != nil {
		p.tb.Fatal(err)
	}
	c.cpu, c.peak = stat.CPU, p.peak()
	return c
}

func (p *process) peak() float64 {
	file, err := os.Open(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		p.tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kilobytes float64
		if _, err := fmt.Sscanf(lines.Text(), "VmHWM: %f kB", &kilobytes); err == nil {
			return kilobytes * 1024
		}
	}
	p.tb.Fatal("the kernel does not tell the manager's largest resident memory")
	return 0
}

func managerOptions(options ctrl.Options) ctrl.Options {
	options.Metrics.BindAddress, options.HealthProbeBindAddress = "0", "0"
	return options
}
