package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// readAgent collects what the agent keeps: what it was told, its generations and their journal, and its boot report.
func readAgent(_ context.Context, o Options, f *found) {
	if b, err := readBootstrap(o.BootstrapPath); err != nil {
		f.miss(o.BootstrapPath, err)
	} else {
		b.Token = ""
		f.json("agent/bootstrap.json", b)
	}
	f.text("agent/version.txt", o.AgentVersion+"\n")
	f.copy("agent/boot.json", filepath.Join(o.RunDir, "boot.json"))
	f.copy("agent/api-server.json", filepath.Join(o.StateDir, "api-server.json"))
	f.tree("agent/generations", generation.Dir(o.StateDir), func(string) string { return "" })
	listing(f, "agent/state.txt", o.StateDir, 3)
	listing(f, "agent/run.txt", o.RunDir, 3)
	readCertificates(o, f)
}

// readCertificates collects what the certificates say of themselves, and nothing of their keys.
func readCertificates(o Options, f *found) {
	var out strings.Builder
	for _, c := range []struct{ name, path string }{
		{v1alpha1.CertificateAgent, identity.Paths{StateDir: o.StateDir}.Pair()},
		{v1alpha1.CertificateKubeletClient, filepath.Join(o.Paths.KubeletCertDir(), "kubelet-client-current.pem")},
		{v1alpha1.CertificateKubeletServing, filepath.Join(o.Paths.KubeletCertDir(), "kubelet-server-current.pem")},
	} {
		certificate, err := health.ReadCertificate(c.path)
		if err != nil {
			f.miss("the certificate "+c.name, err)
			continue
		}
		fmt.Fprintf(&out, "%s: %s, of %s, from %s to %s, for %v %v\n", c.name, certificate.Subject, certificate.Issuer,
			certificate.NotBefore.UTC().Format(time.RFC3339), certificate.NotAfter.UTC().Format(time.RFC3339), certificate.DNSNames, certificate.IPAddresses)
	}
	f.text("agent/certificates.txt", out.String())
}

// listing says what is in a directory: names, sizes, modes and times.
func listing(f *found, name, dir string, depth int) {
	var out strings.Builder
	list(&out, f, dir, depth)
	f.text(name, out.String())
}

// maxListing is the most of a listing: a directory may have any number of entries.
const maxListing = 256 << 10

func list(out *strings.Builder, f *found, dir string, depth int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.miss(dir, err)
		return
	}
	for _, entry := range entries {
		if out.Len() > maxListing {
			return
		}
		path := filepath.Join(dir, entry.Name())
		if info, err := entry.Info(); err == nil {
			fmt.Fprintf(out, "%s %10d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), path)
		}
		if entry.IsDir() && depth > 1 {
			list(out, f, path, depth-1)
		}
	}
}

// readProcesses collects the supervisor's records, and what the kernel tells of the processes in them. Their environment is
// nobody's business.
func readProcesses(_ context.Context, o Options, f *found) {
	dir := filepath.Join(o.RunDir, "processes")
	records, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err == nil && len(records) == 0 {
		err = errors.New("no process is recorded there")
	}
	if err != nil {
		f.miss(dir, err)
	}
	slices.Sort(records)
	for _, path := range records {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		f.copy("processes/"+name+".json", path)
		data, _, err := readFile(path, maxFile)
		if err != nil {
			continue // which is told already
		}
		var record struct {
			PID     int  `json:"pid"`
			Running bool `json:"running"`
		}
		if err := json.Unmarshal(data, &record); err != nil || record.PID == 0 || !record.Running {
			continue
		}
		proc := filepath.Join("/proc", strconv.Itoa(record.PID))
		for _, of := range []string{"status", "cgroup", "limits", "wchan", "oom_score_adj"} {
			f.copy("processes/"+name+"."+of, filepath.Join(proc, of))
		}
	}
}

// readHealth asks the components how they are.
func readHealth(ctx context.Context, _ Options, f *found) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for name, url := range map[string]string{"kubelet": health.KubeletURL + "?verbose", "kube-proxy": health.ProxyURL} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			f.miss("health/"+name+".txt", err)
			continue
		}
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			f.miss("health/"+name+".txt", err)
			continue
		}
		body := &bounded{most: 64 << 10}
		if _, err = body.ReadFrom(io.LimitReader(answer.Body, int64(body.most))); err != nil {
			f.miss("health/"+name+".txt", err)
		}
		_ = answer.Body.Close()
		f.text("health/"+name+".txt", answer.Status+"\n"+body.String())
	}
}

// readConfig collects what the components were told.
func readConfig(_ context.Context, o Options, f *found) {
	f.tree("config/components", o.Paths.ConfigDir, func(path string) string {
		switch base := filepath.Base(path); {
		case strings.HasSuffix(base, ".key"), strings.HasSuffix(base, ".pem"), strings.Contains(base, "kubeconfig"):
			return "left out: it may hold a key"
		}
		return ""
	})
	f.tree("config/cni", o.Paths.CNIConfDir, func(path string) string {
		if strings.Contains(filepath.Base(path), "kubeconfig") {
			return "left out: it may hold a key"
		}
		return ""
	})
	f.copy("config/resolv.conf", o.Paths.ResolvConf)
	for _, kubeconfig := range []string{o.Paths.AgentKubeconfig, o.Paths.KubeletKubeconfig} {
		if _, err := os.Stat(kubeconfig); err != nil {
			f.miss(kubeconfig, err)
		}
	}
}

// readLogs collects the ends of the components' logs, first the newest of each.
func readLogs(_ context.Context, o Options, f *found) {
	logs, err := filepath.Glob(filepath.Join(o.Paths.LogDir, "*.log"))
	if err == nil && len(logs) == 0 {
		err = errors.New("no log is there")
	}
	if err != nil {
		f.miss(o.Paths.LogDir, err)
	}
	slices.Sort(logs)
	share := o.Limit / 2 / int64(max(1, len(logs)))
	for age := range 10 {
		for _, log := range logs {
			path := log
			if age > 0 {
				path = fmt.Sprintf("%s.%d", log, age)
				if _, err := os.Stat(path); err != nil {
					continue
				}
			}
			data, more, err := readTail(path, share)
			if err != nil {
				f.miss(path, err)
				continue
			}
			f.add(file{name: "logs/" + filepath.Base(path), content: data, tail: true, cut: more})
		}
	}
}
