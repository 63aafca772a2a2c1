package health

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/drover-dev/drover/agent/trust"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// MaxClockSkew is how far the node's clock may be from the API server's.
const MaxClockSkew = 2 * time.Second

// ErrInconclusive is returned by a check that could not find out; what it found before still holds.
var ErrInconclusive = errors.New("inconclusive")

// DiskFree checks the filesystems under the given directories against the kubelet's eviction thresholds. dirs maps
// the first part of a signal to a directory: nodefs, imagefs.
func DiskFree(dirs, thresholds map[string]string) func(context.Context) error {
	return func(context.Context) error {
		for _, signal := range slices.Sorted(maps.Keys(thresholds)) {
			filesystem, what, _ := strings.Cut(signal, ".")
			dir, known := dirs[filesystem]
			if !known || turnedOff(thresholds[signal]) {
				continue
			}
			var stat unix.Statfs_t
			if err := unix.Statfs(dir, &stat); err != nil {
				return fmt.Errorf("look at the disk under %s: %w", dir, err)
			}
			free, total := stat.Bavail*uint64(stat.Bsize), stat.Blocks*uint64(stat.Bsize)
			if what == "inodesFree" {
				free, total = stat.Ffree, stat.Files
			}
			low, err := below(free, total, thresholds[signal])
			if err != nil {
				return fmt.Errorf("eviction threshold of %s: %w", signal, err)
			}
			if low {
				return &Failure{fleetv1.ReasonDiskPressure, fmt.Sprintf("%s is below %s under %s, so the kubelet evicts pods: make room there", signal, thresholds[signal], dir)}
			}
		}
		return nil
	}
}

// turnedOff says that a threshold is one of the two, to the letter, for which the kubelet ignores a signal.
func turnedOff(threshold string) bool { return threshold == "0%" || threshold == "100%" }

// below compares what is free with a threshold that is a quantity or a percentage of the total. A filesystem that
// does not count something has a total of zero of it.
func below(free, total uint64, threshold string) (bool, error) {
	if total == 0 {
		return false, nil
	}
	if percent, isPercent := strings.CutSuffix(threshold, "%"); isPercent {
		share, err := strconv.ParseFloat(percent, 64)
		return float64(free) < share/100*float64(total), err
	}
	quantity, err := resource.ParseQuantity(threshold)
	if err != nil {
		return false, err
	}
	return free < uint64(quantity.Value()), nil
}

// ClockMatches compares the node's clock with the API server's. date returns the Date header of an answer, which
// counts whole seconds; now is the node's clock.
func ClockMatches(date func(context.Context) (time.Time, error), now func() time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		before := now()
		server, err := date(ctx)
		after := now()
		if behind, known := trust.NotYetValid(err, after); known {
			return &Failure{fleetv1.ReasonClockSkewed, behind}
		}
		if err != nil {
			return ErrInconclusive // an API server that is out of reach says nothing about the clock
		}
		// The server's clock stood somewhere in [server, server+1s) at some time between before and after.
		switch {
		case before.Sub(server.Add(time.Second)) > MaxClockSkew:
			return &Failure{fleetv1.ReasonClockSkewed, fmt.Sprintf("clock is more than %s ahead of the API server's: let a time service set it", MaxClockSkew)}
		case server.Sub(after) > MaxClockSkew:
			return &Failure{fleetv1.ReasonClockSkewed, fmt.Sprintf("clock is more than %s behind the API server's: let a time service set it", MaxClockSkew)}
		default:
			return nil
		}
	}
}

// CertificateValid checks that the first certificate in a PEM file is good for some time yet: atLeast, or a tenth of its
// life if that is less. A file that does not
// exist is no failure: the certificate has yet to be issued.
func CertificateValid(path string, atLeast time.Duration, now func() time.Time) func(context.Context) error {
	return func(context.Context) error {
		certificate, err := ReadCertificate(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		margin := min(atLeast, certificate.NotAfter.Sub(certificate.NotBefore)/10)
		if now().After(certificate.NotAfter) {
			return fmt.Errorf("certificate %s ended %s by this machine's clock and was not renewed: see whether its request is approved, and whether the clock is right", path, certificate.NotAfter.UTC().Format(time.RFC3339))
		}
		if now().Add(margin).After(certificate.NotAfter) {
			return fmt.Errorf("certificate %s ends %s and was not renewed: see whether its request is approved", path, certificate.NotAfter.UTC().Format(time.RFC3339))
		}
		return nil
	}
}

// ReadCertificate reads the first certificate in a PEM file.
func ReadCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("check a certificate's expiry: %w", err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("check the expiry of %s: %w", path, err)
		}
		return certificate, nil
	}
	return nil, fmt.Errorf("check the expiry of %s: it holds no certificate", path)
}

// All checks one after the other and returns the first failure.
func All(checks ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, check := range checks {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}
