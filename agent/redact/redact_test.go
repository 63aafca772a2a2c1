package redact_test

import (
	"testing"

	"github.com/drover-dev/drover/agent/redact"
)

func TestWhatLooksLikeASecretIsTakenOut(t *testing.T) {
	cases := []struct{ reason, in, want string }{
		{"a bearer token", "Authorization: Bearer abcdefghijklmnop.qrst", "Authorization: Bearer [redacted]"},
		{"words after bearer stay", "invalid bearer authentication", "invalid bearer authentication"},
		{"basic credentials", "authorization: Basic dXNlcjpwYXNzd29yZA==", "authorization: Basic [redacted]"},
		{"a join token", "using abcdef.0123456789abcdef to join", "using [redacted] to join"},
		{"a JSON web token", "got eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln end", "got [redacted] end"},
		{"a key", "a\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nb", "a\n[redacted]\nb"},
		{"a key whose beginning is cut off", "MHcCAQ\nAAAA\n-----END PRIVATE KEY-----\nb", "[redacted]\nb"},
		{"a key whose end is missing", "a\n-----BEGIN PRIVATE KEY-----\nMHc", "a\n[redacted]"},
		{"a user and password in a URL", "GET https://user:pass@host/v2/ failed", "GET https://[redacted]@host/v2/ failed"},
		{"a URL without a user", "GET https://host:5443/v2/?a=b@c failed", "GET https://host:5443/v2/?a=b@c failed"},
		{"a value by its key", `{"token": "s3cr3t-value","x":1}`, `{"token": "[redacted]","x":1}`},
		{"key data of a kubeconfig", "client-key-data: LS0tLS1CRUdJTg==", "client-key-data: [redacted]"},
		{"a bearer token of a header, however short", "> Authorization: Bearer abc.def", "> Authorization: Bearer [redacted]"},
		{"a header of containerd's hosts.toml", `authorization = ["Basic dTpw"]`, `authorization = ["Basic [redacted]"]`},
		{"a password of containerd's configuration", "username = \"u\"\npassword = \"a b,c\"", "username = \"u\"\npassword = \"[redacted]\""},
		{"a short one without quotes", "password: abc", "password: [redacted]"},
		{"credentials as Docker keeps them", `{"auths":{"r.io":{"auth":"dTpw"}}}`, `{"auths":{"r.io":{"auth":"[redacted]"}}}`},
		{"the same as YAML", "auth: dTpw", "auth: [redacted]"},
		{"within a string of JSON", `"{\"token\":\"a b\"}"`, `"{\"token\":\"[redacted]\"}"`},
		{"what is just named alike", "authentication:\n  webhook: {}\nauthorization:\n  mode: Webhook\n", "authentication:\n  webhook: {}\nauthorization:\n  mode: Webhook\n"},
		{"an ordinary line", `E1123 kubelet.go:1 "Failed" err="open /x: no such file" digest=sha256:0a1b`, `E1123 kubelet.go:1 "Failed" err="open /x: no such file" digest=sha256:0a1b`},
	}
	for _, c := range cases {
		if got := redact.Text(c.in); got != c.want {
			t.Errorf("%s: Text(%q)\n got %q\nwant %q", c.reason, c.in, got, c.want)
		}
	}
}
