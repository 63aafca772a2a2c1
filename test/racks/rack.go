// Package racks makes servers for the tests of Hosts: each is an SSH server of this process whose commands see directories
// of its own in the places of the machine's, and has a Host that tells of it. One key is let in by all of a rack.
//
//	rack := racks.New(t, namespace)
//	server := rack.Start(t, "rack-1", sshd.Options{}, racks.Mount{From: dir, To: "/var/lib"})
//	create(rack.KeySecret(), server.Host())
package racks

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os/exec"
	"testing"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/sshd"
)

// keySecret is the name of the Secret with a rack's key.
const keySecret = "key"

// Rack is servers whose Hosts are in one namespace.
type Rack struct {
	namespace string
	public    ssh.PublicKey
	private   []byte
}

// New makes a rack with a key of its own.
func New(t testing.TB, namespace string) *Rack {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &Rack{namespace: namespace}
	if r.public, err = ssh.NewPublicKey(public); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	r.private = pem.EncodeToMemory(block)
	return r
}

// KeySecret is the Secret that the Hosts of the rack name.
func (r *Rack) KeySecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: r.meta(keySecret), Data: map[string][]byte{"ssh-privatekey": r.private}}
}

func (r *Rack) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: r.namespace, Name: name}
}

// Server is one of a rack.
type Server struct {
	*sshd.Server
	// Name is its Host's.
	Name string

	rack *Rack
}

// Mount is a directory that a server's commands see where the machine has another.
type Mount struct{ From, To string }

// enter mounts what comes in pairs before the two dashes, and becomes a shell for what comes behind them.
const enter = `while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; exec /bin/sh -c "$2"`

// Start starts a server that ends with the test. Who may log in, and how commands are run, is the rack's affair.
func (r *Rack) Start(t testing.TB, name string, options sshd.Options, mounts ...Mount) *Server {
	t.Helper()
	args := []string{"--mount", "/bin/sh", "-c", enter, "sh"}
	for _, m := range mounts {
		args = append(args, m.From, m.To)
	}
	args = append(args, "--")
	options.Users = map[string][]ssh.PublicKey{"root": {r.public}}
	options.Command = func(command string) *exec.Cmd {
		return exec.Command("unshare", append(args[:len(args):len(args)], command)...)
	}
	return &Server{Server: sshd.Start(t, options), Name: name, rack: r}
}

// Host is the Host of a server. It is made anew by each call.
func (s *Server) Host() *v1alpha1.Host {
	return &v1alpha1.Host{ObjectMeta: s.rack.meta(s.Name), Spec: v1alpha1.HostSpec{SSHAccess: v1alpha1.SSHAccess{
		Address: s.Address, Port: int32(s.Port), KeySecretRef: v1alpha1.SecretReference{Name: keySecret}, HostKeys: s.HostKeyLines(), //nolint:gosec // a port
	}}}
}
