package world

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
)

// Bounds of starting and stopping a process.
const (
	startTimeout = 60 * time.Second
	stopGrace    = 5 * time.Second
	pollInterval = 50 * time.Millisecond
)

// health is where each process says that it is ready.
var health = map[string]string{
	Etcd:              fmt.Sprintf("https://127.0.0.1:%d/health", layout.EtcdPort),
	APIServer:         fmt.Sprintf("https://127.0.0.1:%d/readyz", layout.APIServerPort),
	ControllerManager: fmt.Sprintf("https://127.0.0.1:%d/healthz", layout.ControllerManagerPort),
	Scheduler:         fmt.Sprintf("https://127.0.0.1:%d/readyz", layout.SchedulerPort),
	Manager:           fmt.Sprintf("http://127.0.0.1:%d/readyz", layout.ManagerProbePort),
	Routes:            fmt.Sprintf("http://127.0.0.1:%d/readyz", layout.RoutesProbePort),
}

// startProcess starts a process, unless it runs, and waits until it is ready.
func (w *World) startProcess(ctx context.Context, name string, say func(string)) error {
	id, running := w.find(name)
	if !running {
		started, err := w.launch(name)
		if err != nil {
			return err
		}
		id = started
	}
	return w.awaitReady(ctx, name, id, say)
}

// launch records the process twice: that it may be there, before, and which one it is, after.
func (w *World) launch(name string) (process.ID, error) {
	entry := journal.Entry{Kind: journal.Process, Name: name}
	if name == Etcd {
		if err := w.journal.Record(journal.Entry{Kind: journal.Files, Name: w.Layout.Etcd()}); err != nil {
			return process.ID{}, err
		}
	}
	if err := w.journal.Record(entry); err != nil {
		return process.ID{}, err
	}
	cmd := command(w.Layout, name)
	if name == APIServer {
		cmd.Args = append(cmd.Args, w.APIServerFlags...)
	}
	id, err := cmd.Start()
	if err != nil {
		return process.ID{}, err
	}
	entry.PID, entry.StartTime = id.PID, id.StartTime
	return id, w.journal.Record(entry)
}

// find returns the recorded process of that name, if it is alive.
func (w *World) find(name string) (process.ID, bool) {
	for _, e := range w.journal.Of(journal.Process) {
		if e.Name == name && process.Alive(idOf(e)) {
			return idOf(e), true
		}
	}
	return process.ID{}, false
}

// stopStale ends the process if its executable was replaced since it was started.
func (w *World) stopStale(ctx context.Context, name string) error {
	if id, running := w.find(name); running && replaced(id) {
		return process.Stop(ctx, id, stopGrace)
	}
	return nil
}

// replaced is true when the process runs a file that is no longer there by its name. Of one that just ended nothing
// can be read.
func replaced(id process.ID) bool {
	executable, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", id.PID))
	return strings.HasSuffix(executable, " (deleted)")
}

// checkCurrent returns an error if a program of the control plane was replaced since it was started. It would go on as
// it is, and an API server must not be older than its kubelets.
func (w *World) checkCurrent() error {
	for _, name := range controlPlane() {
		if id, running := w.find(name); running && replaced(id) {
			return BuiltAgain(name)
		}
	}
	return nil
}

// BuiltAgain is the error for what cannot be replaced in a world that runs.
func BuiltAgain(what string) error {
	return Problems{what + " was built again since this demo started: run `make down`, then `make demo`."}
}

// awaitReady polls until the process answers, ends, or takes too long, or the user has enough.
func (w *World) awaitReady(ctx context.Context, name string, id process.ID, say func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client, err := prober(w.Layout, name)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := probe(ctx, client, health[name])
		if err == nil {
			return nil
		}
		if !process.Alive(id) {
			return fmt.Errorf("%s ended; the last lines of %s:\n%s", name, w.Layout.Logs(name), logTail(w.Layout.Logs(name)))
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return Problems{fmt.Sprintf("Interrupted while %s was starting: run `make down` to remove what was started.", name)}
			}
			return fmt.Errorf("%s is not ready after %s (%w); the last lines of %s:\n%s", name, startTimeout, err, w.Layout.Logs(name), logTail(w.Layout.Logs(name)))
		case <-tick.C:
			say("waits for " + health[name])
		}
	}
}

// prober does not check certificates: two of the endpoints sign their own, and all are on this host. etcd wants to see
// one itself.
func prober(l layout.Layout, name string) (*http.Client, error) {
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
	if name == Etcd {
		pair, err := tls.LoadX509KeyPair(l.EtcdPKI("client.crt"), l.EtcdPKI("client.key"))
		if err != nil {
			return nil, fmt.Errorf("read the certificate for etcd: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}, nil
}

func probe(ctx context.Context, client *http.Client, url string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// logTail is the end of a log file.
func logTail(path string) string {
	const lines = 15
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}
