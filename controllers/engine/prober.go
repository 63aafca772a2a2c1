package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/discovery"
	"sigs.k8s.io/cluster-api/controllers/clustercache"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	defaultProbeInterval = 10 * time.Second
	probeTimeout         = 5 * time.Second
	// reconnectInterval is the time between probes while the API server does not answer.
	reconnectInterval = time.Second
	// After this many failed probes in a row the cluster counts as not connected, as in Cluster API's own cache.
	failureThreshold = 5
)

// prober asks the API server at an interval whether it is ready. What it knows is what Cluster API's conditions about
// Nodes rest on: only a probe that succeeded counts as success.
type prober struct {
	probe    func(context.Context) error
	interval time.Duration
	now      func() time.Time

	mutex       sync.Mutex
	health      clustercache.HealthCheckingState
	up          bool
	subscribers []*subscriber
}

// subscriber is told when the connection comes or goes, and once for each duration that success is past.
type subscriber struct {
	durations []time.Duration
	lastTold  time.Time
	notify    func()
}

func newProber(probe func(context.Context) error, interval time.Duration) *prober {
	return &prober{probe: probe, interval: interval, now: time.Now}
}

// apiServerProbe asks for /readyz, which every authenticated user may.
func apiServerProbe(mgr manager.Manager) (func(context.Context) error, error) {
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for probes: %w", err)
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		return discoverer.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, nil
}

// NeedLeaderElection says that the prober runs from the start, so that a new leader need not wait for a first probe.
func (*prober) NeedLeaderElection() bool { return false }

// Start probes until the context ends.
func (p *prober) Start(ctx context.Context) error {
	logger := log.FromContext(ctx).WithName("probe")
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := p.probe(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			logger.Info("The API server did not answer a probe", "error", err.Error())
		}
		for _, notify := range p.record(err) {
			notify()
		}
		timer.Reset(p.next(err))
	}
}

// next is the time until the next probe.
func (p *prober) next(err error) time.Duration {
	if err != nil {
		return min(reconnectInterval, p.interval)
	}
	return p.interval
}

// record takes in the result of a probe and returns who is to be told.
func (p *prober) record(err error) []func() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now, wasUp := p.now(), p.up
	p.health.LastProbeTime = now
	if err != nil {
		p.health.ConsecutiveFailures++
		p.up = p.up && p.health.ConsecutiveFailures < failureThreshold
	} else {
		p.health.ConsecutiveFailures = 0
		p.health.LastProbeSuccessTime = now
		p.up = true
	}
	var due []func()
	for _, s := range p.subscribers {
		if p.up != wasUp || s.overdue(now, p.health.LastProbeSuccessTime) {
			s.lastTold = now
			due = append(due, s.notify)
		}
	}
	return due
}

// overdue says whether success became older than one of the durations since the subscriber was last told.
func (s *subscriber) overdue(now, success time.Time) bool {
	return slices.ContainsFunc(s.durations, func(d time.Duration) bool {
		deadline := success.Add(d)
		return now.After(deadline) && !s.lastTold.After(deadline)
	})
}

func (p *prober) subscribe(durations []time.Duration, notify func()) {
	p.mutex.Lock()
	p.subscribers = append(p.subscribers, &subscriber{durations: durations, notify: notify, lastTold: p.now()})
	up := p.up
	p.mutex.Unlock()
	if up {
		notify()
	}
}

func (p *prober) connected() bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.up
}

func (p *prober) state() clustercache.HealthCheckingState {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.health
}
