package remote_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/drover-dev/drover/controllers/host/remote"
)

func TestEveryPrivateKeyOfASecretIsTaken(t *testing.T) {
	older, newer, encrypted := privateKey(t, ""), privateKey(t, ""), privateKey(t, "passphrase")
	signers, err := remote.ParseKeys(map[string][]byte{
		"2-older": older, "1-newer": newer, "sudo-password": []byte("hunter2"), "1-newer.pub": []byte("ssh-ed25519 AAAA"),
	})
	if err != nil || len(signers) != 2 {
		t.Fatalf("got %d keys, %v; want 2", len(signers), err)
	}
	first, err := ssh.ParsePrivateKey(newer)
	if err != nil {
		t.Fatal(err)
	}
	if string(signers[0].PublicKey().Marshal()) != string(first.PublicKey().Marshal()) {
		t.Error("the keys are not in the order of their names")
	}
	for name, test := range map[string]struct {
		secret map[string][]byte
		want   string
	}{
		"encrypted": {map[string][]byte{"a": older, "b": encrypted}, `entry "b" is encrypted with a passphrase`},
		"cut":       {map[string][]byte{"a": older[:100]}, `entry "a" cannot be parsed`},
		"none":      {map[string][]byte{"a": []byte("hunter2")}, `none of the entries ["a"]`},
		"empty":     {nil, "none of the entries"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := remote.ParseKeys(test.secret)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q in it", err, test.want)
			}
			wantNone(t, err.Error(), "hunter2")
			wantNone(t, err.Error(), string(older[40:80]))
		})
	}
}

func privateKey(t *testing.T, passphrase string) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}
