package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// callEvery is the time between two calls of a URL.
const callEvery = 10 * time.Millisecond

// load calls URLs without a pause, each on a connection of its own, as a client would notice what becomes of the way to a pod.
type load struct {
	stop func()
	done sync.WaitGroup

	mu     sync.Mutex
	calls  int
	failed int
	last   string // why the last one failed that did
}

// startLoad begins to call.
func startLoad(ctx context.Context, urls []string) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{stop: stop}
	caller := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, url := range urls {
		l.done.Go(func() {
			for tick := time.Tick(callEvery); ctx.Err() == nil; <-tick {
				if err := callOnce(ctx, caller, url); ctx.Err() == nil {
					l.count(url, err)
				}
			}
		})
	}
	return l
}

func (l *load) count(url string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if err != nil {
		l.failed++
		l.last = fmt.Sprintf("%s at %s: %v", url, time.Now().Format(time.TimeOnly), err)
	}
}

// soFar is how many calls there were, and how many of them failed.
func (l *load) soFar() (calls, failed int, last string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, l.failed, l.last
}

// end ends the calls.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

func callOnce(ctx context.Context, caller *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := caller.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s", response.Status)
	}
	return nil
}
