package diagnose

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/redact"
	"github.com/drover-dev/drover/api/node"
)

// hidden is what stands in the place of a secret of this node.
const hidden = "[redacted]"

// minSecret is how long a text must be to be taken out wherever it is: a shorter one may be anything.
const minSecret = 8

// secrets are those of this node that are known by their value: they go wherever they are, whatever they look like there.
type secrets struct{ replacer *strings.Replacer }

// secretsOf reads them: the join token, and the private keys line by line.
func secretsOf(o Options) secrets {
	var known []string
	add := func(text string) {
		if text = strings.TrimSpace(text); len(text) >= minSecret {
			known = append(known, text, hidden)
		}
	}
	if b, err := readBootstrap(o.BootstrapPath); err == nil {
		add(b.Token)
	}
	paths := identity.Paths{StateDir: o.StateDir}
	files := []string{paths.Key(), paths.Pair()}
	for _, pattern := range []string{"*.pem", "*.key"} {
		if found, err := filepath.Glob(filepath.Join(o.Paths.KubeletCertDir(), pattern)); err == nil {
			files = append(files, found...)
		}
	}
	for _, path := range files {
		data, _, err := readFile(path, 1<<20)
		if err != nil {
			continue
		}
		for _, key := range privateKey.FindAllString(string(data), -1) {
			for line := range strings.Lines(key) {
				if !strings.HasPrefix(line, "-----") {
					add(line)
				}
			}
		}
	}
	return secrets{strings.NewReplacer(known...)}
}

var privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END`)

// hide takes out of a text this node's secrets and what looks like one.
func (s secrets) hide(text string) string { return redact.Text(s.replacer.Replace(text)) }

// readBootstrap reads the bootstrap document.
func readBootstrap(path string) (*node.Bootstrap, error) {
	data, _, err := readFile(path, 1<<20)
	if err != nil {
		return nil, err
	}
	b := &node.Bootstrap{}
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("read %s: it is no bootstrap document", path) // the error may quote it
	}
	return b, nil
}

// withoutHeaders is a hosts.toml of containerd's without the values of the headers that it sends, which may be anything.
func withoutHeaders(content []byte) []byte {
	var out strings.Builder
	within := false
	for line := range strings.Lines(string(content)) {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "[") {
			within = strings.Contains(strings.ToLower(trimmed), "header")
		} else if within && trimmed != "" {
			key, _, _ := strings.Cut(trimmed, "=")
			line = "  " + strings.TrimSpace(key) + " = \"" + hidden + "\"\n"
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}

// readFile reads a file up to a size, and says whether there is more. What is no regular file is an error, as reading it may
// never end.
func readFile(path string, most int64) (data []byte, more bool, err error) {
	return read(path, most, false)
}

// readTail reads the end of a file.
func readTail(path string, most int64) (data []byte, more bool, err error) {
	return read(path, most, true)
}

func read(path string, most int64, tail bool) ([]byte, bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("read %s: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }()
	return readOpen(f, info.Size(), most, tail)
}
