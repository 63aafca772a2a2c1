package remote_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/test/sshd"
)

// short are limits for tests in which a host hangs.
var short = remote.Limits{Handshake: 300 * time.Millisecond, Silence: 300 * time.Millisecond}

func targetOf(server *sshd.Server) remote.Target {
	return remote.Target{
		Address: server.Address, Port: server.Port,
		Signers:  []ssh.Signer{server.UserKey},
		HostKeys: server.HostKeyLines(),
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, target remote.Target) remote.Connection {
	t.Helper()
	connection, err := remote.Dial(within(t), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// wantReason is for an error with a reason and with all of some texts in its message.
func wantReason(t *testing.T, err error, reason string, texts ...string) {
	t.Helper()
	_ = reasoned(t, err, reason, texts...)
}

// reasoned is the error, which must have that reason and those texts in its message.
func reasoned(t *testing.T, err error, reason string, texts ...string) *remote.Error {
	t.Helper()
	var typed *remote.Error
	if !errors.As(err, &typed) {
		t.Fatalf("got error %v, want one with the reason %s", err, reason)
	}
	if typed.Reason != reason {
		t.Fatalf("got %v, want the reason %s", typed, reason)
	}
	for _, text := range texts {
		if !strings.Contains(typed.Message, text) {
			t.Errorf("got the message %q, want %q in it", typed.Message, text)
		}
	}
	return typed
}

// noisyLogin is a login shell whose start-up file talks.
func noisyLogin(command string) *exec.Cmd {
	return exec.Command("/bin/sh", "-c", "printf 'welcome, try again. '; echo noise >&2; eval \"$1\"", "sh", command)
}
