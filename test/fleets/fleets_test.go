package fleets

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

var (
	machinesFlag = flag.Int("fleets.machines", 1000, "how many machines there are")
	sidesFlag    = flag.String("fleets.sides", "drover,clusterapi", "who does it")
	patienceFlag = flag.Duration("fleets.patience", 30*time.Minute, "how long each half may take")
	restFlag     = flag.Duration("fleets.rest", 30*time.Second, "for how long the processor time is counted at rest")
)

const (
	// settles is how long a manager is left alone before it is measured at rest.
	settles = 20 * time.Second
)

func TestMain(m *testing.M) {
	if side := os.Getenv(sideVariable); side != "" {
		if err := serve(side, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// fleet is what one side makes of the machines.
type fleet interface {
	// prepare makes what is there before.
	prepare(tb testing.TB)
	// apply asks for so many machines.
	apply(tb testing.TB, machines int)
	// change asks for another label on each Node and another configuration of each kubelet.
	change(tb testing.TB)
	// left says how many machines are not as they were asked for.
	left(ctx context.Context) (int, error)
}

// BenchmarkFleets has each side do all of it once, and reports what it took. The names of what it reports begin with the side's.
func BenchmarkFleets(b *testing.B) {
	for b.Loop() {
		for _, side := range strings.Split(*sidesFlag, ",") {
			measure(b, side)
		}
	}
}

// newFleet is the fleet of a side.
func newFleet(side string, server *apiserver.Server, namespace string) fleet {
	if side == "drover" {
		return &pool{server: server, namespace: namespace}
	}
	return &deployment{server: server, namespace: namespace}
}

func measure(b *testing.B, side string) {
	b.Helper()
	server := apiserver.Start(b, apiserver.WithCRDs(simulated.CRDs()...))
	f := newFleet(side, server, server.Namespace(b))
	stopProvider := startProvider(b, server)
	defer stopProvider()
	p := start(b, side, server)
	f.prepare(b)
	machines := float64(*machinesFlag)

	before := p.cost()
	f.apply(b, *machinesFlag)
	made := await(b, p, f)
	report(b, side, "make", before, made, machines)

	f.change(b)
	changed := await(b, p, f)
	report(b, side, "change", made, changed, machines)

	time.Sleep(settles)
	still := p.cost()
	time.Sleep(*restFlag)
	after := p.cost()
	b.ReportMetric(100*(after.cpu-still.cpu).Seconds()/after.at.Sub(still.at).Seconds(), "%cpu/"+side+"-rest")
	b.ReportMetric(after.peak, "B/"+side)
	b.Logf("%s, all of its writes:\n%s", side, after.Table)
}

func report(b *testing.B, side, what string, before, after cost, machines float64) {
	b.Helper()
	took, cpu := after.at.Sub(before.at), after.cpu-before.cpu
	b.ReportMetric(took.Seconds(), "s/"+side+"-"+what)
	b.ReportMetric(float64(after.Requests-before.Requests)/machines, "requests/"+side+"-"+what)
	b.ReportMetric(float64(after.Writes-before.Writes)/machines, "writes/"+side+"-"+what)
	b.ReportMetric(cpu.Seconds(), "cpu-s/"+side+"-"+what)
	b.Logf("%s, %s: %s, %.1f requests a machine, %.1f of them writes, %s of a processor, and so far %.0f MB", side, what,
		took.Round(time.Millisecond), float64(after.Requests-before.Requests)/machines, float64(after.Writes-before.Writes)/machines, cpu, after.peak/1e6)
}

// await waits until all machines are as they were asked for, and returns what it has cost.
func await(b *testing.B, p *process, f fleet) cost {
	b.Helper()
	left := 0
	err := wait.PollUntilContextTimeout(b.Context(), 250*time.Millisecond, *patienceFlag, true, func(ctx context.Context) (done bool, err error) {
		left, err = f.left(ctx)
		return left == 0, err
	})
	if err != nil {
		b.Fatalf("%d machines are not as they were asked for: %v", left, err)
	}
	return p.cost()
}

// startProvider starts the machines and their agents.
func startProvider(b *testing.B, server *apiserver.Server) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	mgr, err := simulated.NewManager(server.Config, server.Scheme)
	if err != nil {
		b.Fatal(err)
	}
	return apiserver.RunManager(ctx, b, mgr, cancel)
}
