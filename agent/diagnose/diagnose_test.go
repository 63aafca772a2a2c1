package diagnose

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-dev/drover/agent/component"
)

// machine is a node's files in a directory of the test.
type machine struct {
	Options
	t   *testing.T
	dir string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	return &machine{t: t, dir: dir, Options: Options{
		BootstrapPath: in("etc/bootstrap.json"), StateDir: in("state"), RunDir: in("run"), AgentVersion: "v0.1.0",
		Paths: component.Paths{
			ConfigDir: in("etc/components"), LogDir: in("log"), AgentKubeconfig: in("state/agent.kubeconfig"), KubeletKubeconfig: in("state/kubelet.kubeconfig"),
			KubeletDir: in("kubelet"), ContainerdRoot: in("containerd"), ContainerdState: in("run-containerd"), CNIConfDir: in("cni"), ResolvConf: in("etc/resolv.conf"),
		},
	}}
}

func (m *machine) put(name, content string) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		m.t.Fatal(err)
	}
}

// archived is what an archive has, by the names of its files.
type archived struct {
	files map[string]string
	index index
	size  int
}

func (m *machine) archive() archived {
	m.t.Helper()
	var out bytes.Buffer
	summary, err := Write(m.t.Context(), &out, "d", m.Options)
	if err != nil {
		m.t.Fatal(err)
	}
	a := archived{size: out.Len()}
	if summary.Bytes != int64(a.size) {
		m.t.Errorf("it says %d bytes, and has %d", summary.Bytes, a.size)
	}
	a.files, a.index = extract(m.t, &out)
	if len(a.index.Files) != len(a.files)-1 || summary.Files != len(a.index.Files) {
		m.t.Errorf("the index has %d files, the summary %d, the archive %d beside it", len(a.index.Files), summary.Files, len(a.files)-1)
	}
	return a
}

// extract reads an archive.
func extract(t *testing.T, in io.Reader) (map[string]string, index) {
	t.Helper()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for entries := tar.NewReader(unzipped); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(entries)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(header.Name, "d/")] = string(content)
	}
	var i index
	if err := json.Unmarshal([]byte(files["index.json"]), &i); err != nil {
		t.Fatalf("the index: %v", err)
	}
	return files, i
}

// reason is why something is missing.
func (a *archived) reason(what string) string {
	for _, m := range a.index.Missing {
		if strings.Contains(m.What, what) {
			return m.Reason
		}
	}
	return ""
}

func (a *archived) isCut(name string) bool {
	return slices.ContainsFunc(a.index.Files, func(f indexFile) bool { return f.Name == name && f.Cut })
}

// pair is a certificate and its key, in one PEM file, and the lines of the key.
func pair(t *testing.T) (encoded string, secret []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "drover:agent:node-1"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	lines := strings.Split(strings.TrimSpace(block), "\n")
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + block, lines[1 : len(lines)-1]
}

func TestNoSecretIsInAnyFile(t *testing.T) {
	m := newMachine(t)
	pairText, keyLines := pair(t)
	foreignText, foreignLines := pair(t)
	const token, password, dollars = "abcdef.0123456789abcdef", "hunter2", "pass word!"
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	secrets := append(slices.Concat(keyLines, foreignLines), token, password, dollars, jwt, basic, "opaque-bearer", "s3cret-env", "x-header-value", "dockercfg", base64.StdEncoding.EncodeToString([]byte(keyLines[0])))

	m.put("etc/bootstrap.json", `{"nodeName":"node-1","token":"`+token+`","spec":{"version":"v1.36.3","runtime":{"registryMirrors":[{"registry":"r.io","endpoints":["https://user:`+password+`@mirror"]}]}}}`)
	m.put("state/pki/agent.pem", pairText)
	m.put("state/pki/agent.key", pairText)
	m.put("state/agent.kubeconfig", "users:\n- user:\n    token: opaque-bearer\n")
	m.put("state/kubelet.kubeconfig", "users:\n- user:\n    client-key-data: "+base64.StdEncoding.EncodeToString([]byte(keyLines[0]))+"\n")
	m.put("state/generations/journal", `{"failed":{"exit":{"logTail":"Authorization: Bearer opaque-bearer"}}}`)
	m.put("kubelet/pki/kubelet-client-current.pem", foreignText)
	m.put("run/boot.json", `{"message":"joining with `+token+`"}`)
	m.put("etc/components/containerd.toml", "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.configs.\"r.io\".auth]\nusername = \"user\"\npassword = \""+dollars+"\"\nauth = \""+basic+"\"\n")
	m.put("etc/components/certs.d/r.io/hosts.toml", "server = \"https://r.io\"\n[host.\"https://mirror\"]\n  ca = \"ca.crt\"\n[host.\"https://mirror\".header]\n  x-custom = [\"x-header-value\"]\n  authorization = \"Basic "+basic+"\"\n[host.\"https://other\"]\n")
	m.put("etc/components/kubelet.yaml", "kind: KubeletConfiguration\nauthorization:\n  mode: Webhook\n")
	m.put("etc/components/tls.key", foreignText)
	m.put("etc/components/config.json", `{"auths":{"r.io":{"auth":"`+basic+`"}},"identitytoken":"dockercfg"}`)
	m.put("cni/calico-kubeconfig", "token: opaque-bearer\n")
	m.put("cni/10-drover.conflist", `{"name":"drover"}`)
	m.put("log/kubelet.log", strings.Join([]string{
		"I1 first line", "> Authorization: Bearer opaque-bearer", "GET https://user:" + password + "@mirror/v2/", "got " + jwt,
		"the key is " + foreignLines[0], foreignText, `{"token":"` + token + `"}`, "--password=" + password, "I1 last line",
	}, "\n"))
	m.put("log/kubelet.log.1", "the join token was "+token+"\n")

	sleep := exec.Command("/bin/sleep", "300")
	sleep.Env = []string{"TOKEN=s3cret-env"}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	m.put("run/processes/kubelet.json", fmt.Sprintf(`{"name":"kubelet","pid":%d,"running":true,"argv":["kubelet","--token=%s"]}`, sleep.Process.Pid, token))

	got := m.archive()
	for name, content := range got.files {
		for _, secret := range secrets {
			if strings.Contains(content, secret) {
				t.Errorf("%s has %q: %s", name, secret, content)
			}
		}
	}
	for name, part := range map[string]string{
		"agent/bootstrap.json":                      `"nodeName": "node-1"`,
		"agent/certificates.txt":                    "agent: CN=drover:agent:node-1",
		"agent/generations/journal":                 "Authorization: Bearer [redacted]",
		"agent/boot.json":                           "joining with [redacted]",
		"config/components/containerd.toml":         `username = "user"`,
		"config/components/certs.d/r.io/hosts.toml": `[host."https://other"]`,
		"config/components/kubelet.yaml":            "authorization:\n  mode: Webhook",
		"config/cni/10-drover.conflist":             "drover",
		"logs/kubelet.log":                          "I1 last line",
		"logs/kubelet.log.1":                        "the join token was [redacted]",
		"processes/kubelet.json":                    "--token=[redacted]",
		"processes/kubelet.status":                  "Name:\tsleep",
		"machine/sysctls.txt":                       "net.ipv4.ip_forward = ",
		"machine/disks.txt":                         "inodes free",
		"network/links.txt":                         ": lo ",
		"network/addresses.txt":                     "127.0.0.1/8",
		"machine/mounts.txt":                        " / ",
	} {
		if !strings.Contains(got.files[name], part) {
			t.Errorf("%s lacks %q: %q", name, part, got.files[name])
		}
	}
	if !strings.HasPrefix(got.files["logs/kubelet.log"], "I1 first line\n") {
		t.Errorf("the log begins %q", got.files["logs/kubelet.log"])
	}
	for what, why := range map[string]string{
		"tls.key": "it may hold a key", "calico-kubeconfig": "it may hold a key", "containers/version.json": "containerd does not answer",
	} {
		if reason := got.reason(what); !strings.Contains(reason, why) {
			t.Errorf("%s is missing because %q, want %q", what, reason, why)
		}
	}
}

// noise does not compress.
func noise(t *testing.T, lines int) string {
	t.Helper()
	var out strings.Builder
	raw := make([]byte, 48)
	for i := range lines {
		if _, err := rand.Read(raw); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "line %d %x\n", i, raw)
	}
	return out.String()
}

func TestAnArchiveStaysWithinItsLimitWithTheNewestOfEachLog(t *testing.T) {
	m := newMachine(t)
	m.Limit = 1 << 20
	for _, name := range []string{"containerd", "kubelet", "kube-proxy"} {
		m.put("log/"+name+".log", noise(t, 20000)+"the newest of "+name+"\n")
		m.put("log/"+name+".log.1", noise(t, 20000))
	}
	got := m.archive()
	if int64(got.size) > m.Limit {
		t.Errorf("it has %d bytes, want %d at most", got.size, m.Limit)
	}
	total := 0
	for _, content := range got.files {
		total += len(content)
	}
	if total < int(m.Limit)/2 {
		t.Errorf("only %d bytes of %d are used", total, m.Limit)
	}
	for _, name := range []string{"containerd", "kubelet", "kube-proxy"} {
		file := "logs/" + name + ".log"
		if content := got.files[file]; !strings.HasSuffix(content, "the newest of "+name+"\n") || !strings.HasPrefix(content, "line ") || !got.isCut(file) {
			t.Errorf("%s has %d bytes, begins %.40q and is cut: %v", file, len(content), content, got.isCut(file))
		}
	}
	if reason := got.reason("logs/kubelet.log.1"); !strings.Contains(reason, "limit") && !got.isCut("logs/kubelet.log.1") {
		t.Error("nobody is told that an older log has no room")
	}
	m.Limit = MinLimit - 1
	if _, err := Write(t.Context(), io.Discard, "d", m.Options); err == nil {
		t.Error("a limit that leaves no room for anything is taken")
	}
}

func TestWhatHasNoRoomIsCutOrLeftOutAndSaidSo(t *testing.T) {
	var out bytes.Buffer
	a := newArchive(&out, "d", MinLimit)
	long := noise(t, 4000)
	for i, f := range []file{{name: "small", content: []byte("small\n")}, {name: "long.log", content: []byte(long + "the end\n"), tail: true}, {name: "late", content: []byte("late\n")}, {name: "later", content: []byte(long)}} {
		if err := a.add(f, func(text string) string { return text }); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := a.finish(index{Missing: a.left}); err != nil {
		t.Fatal(err)
	}
	if out.Len() > MinLimit || out.Len() < MinLimit/3 {
		t.Errorf("it has %d bytes, want %d at most and some", out.Len(), MinLimit)
	}
	files, _ := extract(t, &out)
	if files["small"] != "small\n" || !strings.HasSuffix(files["long.log"], "the end\n") || !a.files[1].Cut || a.files[0].Cut {
		t.Errorf("it has %q and the end %.40q, cut are %+v", files["small"], files["long.log"][max(0, len(files["long.log"])-40):], a.files)
	}
	if len(a.left) != 2 || a.left[0].What != "late" || !strings.Contains(a.left[0].Reason, "limit") {
		t.Errorf("left out are %+v, want both late ones", a.left)
	}
}

func TestAPartThatHangsKeepsNothingElseOut(t *testing.T) {
	m := newMachine(t)
	m.timeout = 300 * time.Millisecond
	hang := make(chan struct{})
	defer close(hang)
	m.parts = []part{
		{"slow", func(_ context.Context, _ Options, f *found) {
			f.text("before.txt", "before it hung")
			<-hang
			f.text("after.txt", "too late")
		}},
		{"quick", func(_ context.Context, _ Options, f *found) { f.text("quick.txt", "quick") }},
	}
	began := time.Now()
	got := m.archive()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if got.files["before.txt"] == "" || got.files["quick.txt"] == "" || got.files["after.txt"] != "" {
		t.Errorf("it has %v", got.index.Files)
	}
	if reason := got.reason("slow"); !strings.Contains(reason, "not read within 300ms") {
		t.Errorf("the index says %q of what hung", reason)
	}
}

func TestAContainerdThatHangsIsNamedAndItsDirectoriesAreListed(t *testing.T) {
	m := newMachine(t)
	m.put("run-containerd/io.containerd.runtime.v2.task/k8s.io/c0ffee/log.json", "{}")
	listener, err := net.Listen("unix", m.Paths.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // nobody ever accepts
	m.parts = []part{{"containers", readContainers}}
	got := m.archive()
	if reason := got.reason("containers/containers.json"); !strings.HasPrefix(reason, "containerd does not answer: ") {
		t.Errorf("the index says %q", reason)
	}
	if !strings.Contains(got.files["containers/state.txt"], "k8s.io/c0ffee") {
		t.Errorf("the containers on disk are %q", got.files["containers/state.txt"])
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	m := newMachine(t)
	m.put("log/kubelet.log", "fine\n")
	if err := syscall.Mkfifo(filepath.Join(m.dir, "log", "containerd.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := m.archive()
	for what, why := range map[string]string{
		"etc/bootstrap.json": "no such file", "boot.json": "no such file", "run/processes": "no process is recorded", "log/containerd.log": "no regular file",
		"state/agent.kubeconfig": "no such file", "the certificate agent": "no such file",
	} {
		if reason := got.reason(what); !strings.Contains(reason, why) {
			t.Errorf("%s is missing because %q, want %q", what, reason, why)
		}
	}
	if got.files["logs/kubelet.log"] != "fine\n" {
		t.Errorf("the log that can be read is %q", got.files["logs/kubelet.log"])
	}
}

func TestAnArchiveThatCannotBeWrittenIsAnError(t *testing.T) {
	m := newMachine(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	if _, err := Write(t.Context(), full, "d", m.Options); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want that there is no space", err)
	}
}

func TestAKernelsMessageIsShownAsOneReadsIt(t *testing.T) {
	for record, want := range map[string]string{
		"6,1234,5678901,-;device up\n SUBSYSTEM=net\n": "[5.678901] device up\n",
		"no record": "no record",
	} {
		if got := message(record); got != want {
			t.Errorf("%q is shown as %q, want %q", record, got, want)
		}
	}
}
