package manyhosts

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// quick servers are as quick as they can be; slow ones hang in the middle of each copy of the agent: for hangs when they
	// are looked at, and until all of the quick ones have theirs when it is installed.
	quick = 80
	slow  = 20
	hangs = 20 * time.Second
	// hangsAfter is how many bytes a slow one takes before. To copy much more would slow the others down by itself.
	hangsAfter = 1 << 20
	// patience bounds each wait. A hundred agents are three gigabytes to encrypt, and as many to decrypt.
	patience = 5 * time.Minute
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		// The processes end with this one. Until then some may write.
		for tries := 0; os.RemoveAll(memory()) != nil && tries < 50; tries++ {
			time.Sleep(100 * time.Millisecond)
		}
		os.Exit(1)
	}()
	code := m.Run()
	_ = os.RemoveAll(memory())
	os.Exit(code)
}

// BenchmarkHosts makes a hundred servers nodes twice: once when all are quick, and once when some are slow. It reports how
// long the last of those took that are quick each time, and the manager's largest resident memory.
func BenchmarkHosts(b *testing.B) {
	for b.Loop() {
		none, all := provision(b, false)
		beside, most := provision(b, true)
		b.ReportMetric(none.Seconds(), "s/none-slow")
		b.ReportMetric(beside.Seconds(), "s/beside-slow")
		b.ReportMetric(max(all, most), "B/manager")
	}
}

// provision returns how long it took from the making of the pool until the last of the quick servers had its agent, and
// the most memory that the manager had resident. The others are as quick unless they hang.
func provision(b *testing.B, hang bool) (time.Duration, float64) {
	b.Helper()
	const hosts = quick + slow
	s := newSite(b, hosts)
	defer s.close()
	for _, box := range s.boxes[:slow] {
		box.slow = true
		if hang {
			box.HangFor(hangs, hangsAfter)
		}
	}
	s.applyHosts()
	s.await("every Host to be available", func(ctx context.Context) (int, error) {
		list := &v1alpha1.HostList{}
		err := s.Client.List(ctx, list, client.InNamespace(s.namespace))
		n := 0
		for i := range list.Items {
			if list.Items[i].Status.State == v1alpha1.HostAvailable {
				n++
			}
		}
		return hosts - n, err
	})
	for _, box := range s.boxes[:slow] {
		if hang {
			box.HangAfter(hangsAfter)
		}
	}
	start := time.Now()
	s.applyPool(hosts)
	s.await("every quick server to have its agent", func(ctx context.Context) (int, error) {
		n, err := s.provisioned(ctx)
		return quick - n, err
	})
	took := time.Since(start)
	for _, box := range s.boxes[:slow] {
		box.Heal()
	}
	s.await("the others to have theirs too", func(ctx context.Context) (int, error) {
		list := &v1alpha1.HostMachineList{}
		err := s.Client.List(ctx, list, client.InNamespace(s.namespace))
		n := 0
		for i := range list.Items {
			if ptr.Deref(list.Items[i].Status.Initialization.Provisioned, false) {
				n++
			}
		}
		return hosts - n, err
	})
	memory := s.peak()
	b.Logf("with slow servers: %t; the last quick one had its agent after %s, the last one after %s; the manager had %.1f MB", hang,
		took.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), memory/1e6)
	return took, memory
}

// provisioned counts the quick servers that have their agent.
func (s *site) provisioned(ctx context.Context) (int, error) {
	slow := map[string]bool{}
	for _, box := range s.boxes {
		slow[box.Name] = box.slow
	}
	list := &v1alpha1.HostMachineList{}
	err := s.Client.List(ctx, list, client.InNamespace(s.namespace))
	n := 0
	for i := range list.Items {
		m := &list.Items[i]
		if ptr.Deref(m.Status.Initialization.Provisioned, false) && !slow[m.Status.Host] {
			n++
		}
	}
	return n, err
}

// await waits until nothing is missing.
func (s *site) await(what string, missing func(context.Context) (int, error)) {
	s.b.Helper()
	left := 0
	err := wait.PollUntilContextTimeout(s.b.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (done bool, err error) {
		left, err = missing(ctx)
		return left <= 0, err
	})
	if err != nil {
		s.explain()
		s.b.Fatalf("wait for %s, with %d to come: %v", what, left, err)
	}
}

// peak is the most memory that the manager has had resident, in bytes.
func (s *site) peak() float64 {
	s.b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.manager.Process.Pid), "status"))
	if err != nil {
		s.b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kilobytes); err == nil {
			return kilobytes * 1024
		}
	}
	s.b.Fatal("the kernel does not tell the manager's largest resident memory")
	return 0
}
