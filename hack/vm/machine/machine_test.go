package machine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/dev/layout"
)

func TestBooting(t *testing.T) {
	const (
		kernel   = "[    0.000000] Linux version 6.1.0-50-cloud-amd64\n"
		login    = "\r\nDebian GNU/Linux 12 debian-1 ttyS0\r\n\r\ndebian-1 login: "
		shutdown = "[  100.000000] reboot: Restarting system\r\n"
	)
	tests := map[string]struct {
		reason  string
		console string
		want    bool
	}{
		"nothing yet":        {reason: "The firmware says nothing.", want: true},
		"a kernel":           {reason: "It has only begun.", console: kernel, want: true},
		"at work":            {reason: "It asks who would log in.", console: kernel + login},
		"rebooting":          {reason: "A kernel that hangs early says nothing after that.", console: kernel + login + shutdown, want: true},
		"rebooted":           {reason: "It asks again.", console: kernel + login + shutdown + kernel + login},
		"reset":              {reason: "A reset leaves no word before the new kernel's.", console: kernel + login + kernel, want: true},
		"at work, with news": {reason: "The kernel may say something later.", console: kernel + login + "[  300.0] cni0: port 1 entered disabled state\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := booting([]byte(tc.console)); got != tc.want {
				t.Errorf("booting = %t, want %t: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestHangs(t *testing.T) {
	begin := time.Unix(0, 0)
	w := watch{since: begin}
	for _, step := range []struct {
		reason  string
		after   time.Duration
		console string
		want    bool
	}{
		{reason: "It has just begun.", after: hung / 2, console: ""},
		{reason: "It said something.", after: hung, console: "[    0.0] Linux version"},
		{reason: "It said nothing since, but not for long.", after: 2*hung - time.Second, console: "[    0.0] Linux version"},
		{reason: "It said nothing for long.", after: 2 * hung, console: "[    0.0] Linux version", want: true},
		{reason: "The reset gets as much time again.", after: 2*hung + time.Second, console: "[    0.0] Linux version"},
		{reason: "It boots at last.", after: 3*hung - time.Second, console: "[    0.0] Linux version debian-1 login: "},
		{reason: "A machine at work may say nothing for ever.", after: 10 * hung, console: "[    0.0] Linux version debian-1 login: "},
	} {
		if got := w.hangs([]byte(step.console), begin.Add(step.after)); got != step.want {
			t.Errorf("After %s, hangs = %t, want %t: %s", step.after, got, step.want, step.reason)
		}
	}
}

func TestResolverOf(t *testing.T) {
	gateway := netip.MustParseAddr("10.88.0.1")
	tests := map[string]struct {
		resolvConf, want string
	}{
		"the host's":         {resolvConf: "search example.com\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n", want: "192.0.2.53"},
		"not the host alone": {resolvConf: "nameserver 127.0.0.53\nnameserver 192.0.2.54\n", want: "192.0.2.54"},
		"not by IPv6":        {resolvConf: "nameserver 2001:db8::53\nnameserver 192.0.2.54\n", want: "192.0.2.54"},
		"none":               {resolvConf: "options edns0\n", want: "10.88.0.1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := resolverOf(tc.resolvConf, gateway); got.String() != tc.want {
				t.Errorf("resolverOf = %s, want %s", got, tc.want)
			}
		})
	}
}

// Links' names are of the whole host, and the kernel takes no more than 15 characters.
func TestTapsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, checkout := range []string{"/a", "/b"} {
		for _, name := range []string{"debian-1", "debian-2", strings.Repeat("x", 62)} {
			m, err := Of(layout.Layout{Repository: checkout}).named(name)
			if err != nil {
				t.Fatal(err)
			}
			tap := m.Link()
			if len(tap) > 15 || !IsTap(tap) || seen[tap] {
				t.Errorf("The link of %s in %s is %s, want another of at most 15 characters", name, checkout, tap)
			}
			seen[tap] = true
		}
	}
}

func TestNames(t *testing.T) {
	ms := Of(layout.Layout{Repository: t.TempDir()})
	for _, name := range []string{"", "../debian", "Debian", "a b", "-a"} {
		if _, err := ms.named(name); err == nil {
			t.Errorf("%q is taken for a machine's name", name)
		}
	}
	if _, err := ms.Get("debian-1"); err == nil || !strings.Contains(err.Error(), "there is no machine debian-1") {
		t.Errorf("Get of a machine that is not there: %v", err)
	}
	if err := ms.Down(t.Context(), "debian-1"); err != nil {
		t.Errorf("Down of a machine that is not there: %v", err)
	}
}
