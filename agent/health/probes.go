package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// KubeletURL is the kubelet's health endpoint: it fails when pods have not been synced for a while.
	KubeletURL = "http://127.0.0.1:10248/healthz"
	// ProxyURL is kube-proxy's health endpoint. Unlike /healthz it does not fail for a Node that is being deleted.
	ProxyURL = "http://127.0.0.1:10256/livez"
)

// Failure is an error with the reason of the condition that it makes.
type Failure struct {
	Reason  string
	Message string
}

// Error is the message.
func (f *Failure) Error() string { return f.Message }

// client asks endpoints on the node itself: no proxy, and no connection that outlives an answer.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// CRIAnswers asks the runtime for its version, which it tells once it has started fully.
func CRIAnswers(ctx context.Context, socket string) error {
	return withRuntime(socket, func(runtime runtimeapi.RuntimeServiceClient) error {
		if _, err := runtime.Version(ctx, &runtimeapi.VersionRequest{}); err != nil {
			return fmt.Errorf("containerd does not answer: %s", status.Convert(err).Message())
		}
		return nil
	})
}

// CRIReady asks the runtime whether it can run containers. That it has no pod network is the network's business.
func CRIReady(ctx context.Context, socket string) error {
	return withRuntime(socket, func(runtime runtimeapi.RuntimeServiceClient) error {
		answer, err := runtime.Status(ctx, &runtimeapi.StatusRequest{})
		if err != nil {
			return fmt.Errorf("containerd does not answer: %s", status.Convert(err).Message())
		}
		for _, condition := range answer.GetStatus().GetConditions() {
			switch {
			case condition.GetType() != runtimeapi.RuntimeReady:
			case condition.GetStatus():
				return nil
			default:
				return fmt.Errorf("containerd is not ready: %s: %s", condition.GetReason(), condition.GetMessage())
			}
		}
		return errors.New("containerd does not say whether it can run containers")
	})
}

// CRIAlive is nil when the runtime answers anything at all, be it that it is not ready.
func CRIAlive(ctx context.Context, socket string) error {
	err := withRuntime(socket, func(runtime runtimeapi.RuntimeServiceClient) error {
		_, err := runtime.Version(ctx, &runtimeapi.VersionRequest{})
		return err
	})
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return err
	case codes.Unavailable: // which is also its own word while it starts
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return silence(err)
		}
		return conn.Close()
	default:
		return nil
	}
}

// HTTPAlive is nil when there is any answer at all at a URL.
func HTTPAlive(ctx context.Context, url string) error {
	_, _, err := get(ctx, url)
	return silence(err)
}

// silence tells a process that does not answer from a question that could not be put to it.
func silence(err error) error {
	silent := []error{
		context.DeadlineExceeded, os.ErrDeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
		unix.ECONNREFUSED, unix.ECONNRESET, unix.EPIPE, unix.ENOENT,
		unix.EAGAIN, // the socket's queue is full
	}
	if err == nil || slices.ContainsFunc(silent, func(s error) bool { return errors.Is(err, s) }) {
		return err
	}
	return ErrInconclusive
}

func withRuntime(socket string, ask func(runtimeapi.RuntimeServiceClient) error) (err error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to containerd: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return ask(runtimeapi.NewRuntimeServiceClient(conn))
}

// KubeletAnswers asks the kubelet's health endpoint.
func KubeletAnswers(ctx context.Context, url string) error {
	code, body, err := get(ctx, url)
	if err != nil {
		return fmt.Errorf("kubelet does not answer: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("kubelet says %d: %s", code, failedChecks(body))
	}
	return nil
}

// failedChecks are the lines of a verbose answer that name a failed check, or its first line.
func failedChecks(body string) string {
	var failed []string
	lines := strings.Split(strings.TrimSpace(body), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimPrefix(line, "[-]"))
		}
	}
	if len(failed) == 0 {
		return lines[0]
	}
	return strings.Join(failed, ", ")
}

// ProxyAnswers asks kube-proxy's health endpoint, which fails when rules that changed were not written in time.
func ProxyAnswers(ctx context.Context, url string) error {
	code, body, err := get(ctx, url)
	if err != nil {
		return fmt.Errorf("kube-proxy does not answer: %w", err)
	}
	if code == http.StatusOK {
		return nil
	}
	var answer struct {
		LastUpdated time.Time `json:"lastUpdated"`
	}
	if json.Unmarshal([]byte(body), &answer) != nil || answer.LastUpdated.IsZero() {
		return fmt.Errorf("kube-proxy says %d: it has not written its rules yet", code)
	}
	return fmt.Errorf("kube-proxy says %d: it has not written its rules since %s", code, answer.LastUpdated.UTC().Format(time.RFC3339))
}

// ProxyWrote asks kube-proxy's health endpoint of which families, "IPv4" and "IPv6", it has written the rules since it was
// started; none while it waits for the API server, although it is well by its own word.
func ProxyWrote(ctx context.Context, url string) ([]string, error) {
	_, body, err := get(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("kube-proxy does not answer: %w", err)
	}
	var answer struct {
		Status map[string]struct {
			LastUpdated time.Time `json:"lastUpdated"`
		} `json:"status"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("kube-proxy answers %q: %w", body, err)
	}
	var families []string
	for family, status := range answer.Status {
		if !status.LastUpdated.IsZero() {
			families = append(families, family)
		}
	}
	slices.Sort(families)
	return families, nil
}

func get(ctx context.Context, url string) (code int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", plain(err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	data, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	return response.StatusCode, string(data), err
}

// plain leaves out of an error the port that our side of a connection happened to have, which differs each time.
func plain(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
