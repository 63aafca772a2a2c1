package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestResolvConf(t *testing.T) {
	cases := map[string]struct {
		reason   string
		own      string
		resolved bool
		want     string
	}{
		"plain":            {reason: "a server that pods can reach", own: "nameserver 192.0.2.1\n", want: resolvConf},
		"stub":             {reason: "pods cannot reach the machine's stub", own: "nameserver 127.0.0.53\noptions edns0\n", resolved: true, want: resolvedConf},
		"stub and another": {reason: "the file has a server of use", own: "nameserver 127.0.0.53\nnameserver 192.0.2.1\n", resolved: true, want: resolvConf},
		"foreign stub":     {reason: "a stub of something else leaves no choice", own: "nameserver 127.0.0.1\n", want: resolvConf},
		"no server":        {reason: "an empty file is no stub", own: "# nothing\n", resolved: true, want: resolvConf},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, resolvConf, c.own)
			if c.resolved {
				put(t, root, resolvedConf, "nameserver 192.0.2.2\n")
			}
			if got := (&System{Root: root}).ResolvConf(); got != c.want {
				t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
			}
		})
	}
}

func put(t *testing.T, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
