package artifact_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/go-logr/logr/testr"

	"github.com/drover-dev/drover/controllers/artifact"
)

// writePair writes a self-signed certificate for 127.0.0.1 with the given serial number.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for path, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: private}, certFile: {Type: "CERTIFICATE", Bytes: der}} {
		must(t, os.WriteFile(path+".tmp", pem.EncodeToMemory(block), 0o600))
		must(t, os.Rename(path+".tmp", path))
	}
}

// freeAddress is an address nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, listener.Close()) }()
	return listener.Addr().String()
}

// serial is the serial number of the certificate that the server shows, or an error while it does not serve.
func serial(address string) (int64, error) {
	connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return 0, err
	}
	defer func() { _ = connection.Close() }()
	return connection.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestServerReloadsItsCertificateAndStops(t *testing.T) {
	dir := t.TempDir()
	server := &artifact.Server{Root: dir, BindAddress: freeAddress(t), Log: testr.New(t),
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	writePair(t, server.CertFile, server.KeyFile, 1)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()

	shows := func(want int64) func() error {
		return func() error {
			got, err := serial(server.BindAddress)
			if err == nil && got != want {
				err = fmt.Errorf("the certificate is number %d, want %d", got, want)
			}
			return err
		}
	}
	eventually(t, "the server starts", shows(1))
	writePair(t, server.CertFile, server.KeyFile, 2)
	eventually(t, "the server shows its new certificate", shows(2))

	stop()
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("stopped with %v, want none", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the server did not stop")
	}
	if server.NeedLeaderElection() {
		t.Error("a replica that is not the leader would not serve")
	}
}

func TestServerKeepsFileDescriptorsForOthers(t *testing.T) {
	dir := t.TempDir()
	server := &artifact.Server{Root: dir, BindAddress: freeAddress(t), Log: testr.New(t),
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	writePair(t, server.CertFile, server.KeyFile, 1)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	defer func() { stop(); must(t, <-stopped) }()
	answers := func() error { _, err := serial(server.BindAddress); return err }
	eventually(t, "the server starts", answers)

	var silent []net.Conn
	for range 512 {
		connection, err := net.Dial("tcp", server.BindAddress)
		must(t, err)
		defer func() { _ = connection.Close() }()
		silent = append(silent, connection)
	}
	eventually(t, "one more is left to wait", func() error {
		late := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 500 * time.Millisecond}, Config: &tls.Config{InsecureSkipVerify: true}}
		connection, err := late.DialContext(t.Context(), "tcp", server.BindAddress)
		if err == nil {
			return errors.Join(errors.New("it was answered"), connection.Close())
		}
		return nil
	})
	must(t, silent[0].Close())
	eventually(t, "there is room again", answers)
}

// TestServerKeepsQuietAboutProbes that only connect, as a readiness probe of a TCP socket does every few seconds.
func TestServerKeepsQuietAboutProbes(t *testing.T) {
	dir := t.TempDir()
	var mutex sync.Mutex
	var said []string
	server := &artifact.Server{Root: dir, BindAddress: freeAddress(t),
		Log: funcr.New(func(_, args string) {
			mutex.Lock()
			defer mutex.Unlock()
			said = append(said, args)
		}, funcr.Options{Verbosity: 2}),
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	writePair(t, server.CertFile, server.KeyFile, 1)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	defer func() { stop(); must(t, <-stopped) }()
	eventually(t, "the server starts", func() error { _, err := serial(server.BindAddress); return err })
	probe, err := net.Dial("tcp", server.BindAddress)
	must(t, err)
	must(t, probe.Close())
	eventually(t, "the probe is logged where one looks for it only", func() error {
		mutex.Lock()
		defer mutex.Unlock()
		for _, line := range said {
			if strings.Contains(line, "TLS handshake error") && strings.Contains(line, `"level"=2`) {
				return nil
			}
		}
		return fmt.Errorf("the log has %q", said)
	})
}

func TestServerSaysWhichFlagIsWrong(t *testing.T) {
	err := (&artifact.Server{CertFile: "/nowhere/tls.crt", KeyFile: "/nowhere/tls.key"}).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--artifact-cert-file") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}
