package baseline

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheBaselineIsWhatWasThereFirst(t *testing.T) {
	dir := t.TempDir()
	r := Recorder{Root: dir + "/machine", StateDir: dir + "/state", RunDir: dir + "/run"}
	if b, err := r.Load(); err != nil || !b.Had("/etc/cni") || !b.HadTable("ip nat") {
		t.Errorf("%+v, %v: what nobody took down may have been there", b, err)
	}
	write(t, r.Root+"/etc/cni/net.d/10-others.conf", "")
	write(t, r.Root+"/proc/sys/net/ipv4/ip_forward", "0\n")
	if err := r.Record(); err != nil {
		t.Fatal(err)
	}
	write(t, r.Root+"/usr/libexec/kubernetes/x", "")
	write(t, r.Root+"/proc/sys/net/ipv4/ip_forward", "1\n")
	if err := r.Record(); err != nil { // a later agent
		t.Fatal(err)
	}
	b, err := r.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !b.Had("/etc/cni") || b.Had("/usr/libexec/kubernetes") || b.Sysctls["net/ipv4/ip_forward"] != "0" {
		t.Errorf("%+v: want what was there before the first agent", b)
	}
	if err := os.RemoveAll(r.RunDir); err != nil { // a reboot
		t.Fatal(err)
	}
	if err := r.Record(); err != nil {
		t.Fatal(err)
	}
	if b, err = r.Load(); err != nil || b.Had("/usr/libexec/kubernetes") || b.Sysctls["net/ipv4/ip_forward"] != "1" {
		t.Errorf("%+v, %v: after a reboot the files are as before and the parameters anew", b, err)
	}
}

func TestWhatComesWithAModuleIsOfTheBaseline(t *testing.T) {
	dir := t.TempDir()
	r := Recorder{Root: dir + "/machine", StateDir: dir + "/state", RunDir: dir + "/run"}
	const conntrack = "net/netfilter/nf_conntrack_max"
	write(t, r.Root+"/proc/sys/net/ipv4/ip_forward", "0\n")
	if err := r.Record(); err != nil {
		t.Fatal(err)
	}
	write(t, r.Root+"/proc/sys/net/ipv4/ip_forward", "1\n")
	write(t, r.Root+"/proc/sys/"+conntrack, "65536\n")
	if err := r.RecordLoaded(); err != nil {
		t.Fatal(err)
	}
	write(t, r.Root+"/proc/sys/"+conntrack, "131072\n")
	if err := r.RecordLoaded(); err != nil { // for another module
		t.Fatal(err)
	}
	if b, err := r.Load(); err != nil || b.Sysctls[conntrack] != "65536" || b.Sysctls["net/ipv4/ip_forward"] != "0" {
		t.Errorf("%+v, %v: want each parameter as it was before it was set", b, err)
	}
}

func TestWhatCannotBeLookedAtIsNotTakenDownAsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		why   string
		spoil func(t *testing.T, root string)
		want  error
	}{
		"a path":      {"the reset would delete it", func(t *testing.T, root string) { loop(t, root+"/var/log") }, unix.ELOOP},
		"a directory": {"the same, once it is empty", func(t *testing.T, root string) { loop(t, root+"/etc/cni") }, unix.ELOOP},
		"a parameter": {"the reset would leave it as the agent set it", func(t *testing.T, root string) { loop(t, root+"/proc/sys/net/ipv4/ip_forward") }, unix.ELOOP},
		"a file":      {"below it there is nothing, for certain", func(t *testing.T, root string) { write(t, root+"/etc/cni", "") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.spoil(t, dir+"/machine")
			err := Recorder{Root: dir + "/machine", StateDir: dir + "/state", RunDir: dir + "/run"}.Record()
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v: %s", err, c.want, c.why)
			}
		})
	}
}

// loop makes a link to itself, which is there while what is below it, and in it, cannot be looked at.
func loop(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, path); err != nil {
		t.Fatal(err)
	}
}

func TestParametersAreKnownWhereTablesCannotBeListed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/"+FileName, `{"paths":null,"sysctls":{"net/ipv4/ip_forward":"0"},"tables":null}`)
	if b, err := (Recorder{StateDir: dir + "/none", RunDir: dir}).Load(); err != nil || b.Sysctls["net/ipv4/ip_forward"] != "0" || !b.HadTable("ip nat") {
		t.Errorf("%+v, %v: want the parameters, and any table as one that may have been there", b, err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
