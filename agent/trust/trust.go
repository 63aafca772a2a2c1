package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Explain adds to an error what to do about a certificate that was not trusted, by the time of this machine's clock. An
// error of another sort it returns as it is.
func Explain(err error, now time.Time) error {
	if advice := Advice(err, now); advice != "" {
		return fmt.Errorf("%s: %w", advice, err)
	}
	return err
}

// Advice is what to do about a certificate that was not trusted, empty for an error of another sort.
func Advice(err error, now time.Time) string {
	if certificate := outOfTime(err); certificate != nil {
		return OutOfTime(certificate, now)
	}
	if errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) {
		return "its certificate is not trusted: check the server CA in the bootstrap data"
	}
	return ""
}

// NotYetValid is what Advice says where the clock alone can be at fault: a server shows no certificate before it was issued.
func NotYetValid(err error, now time.Time) (advice string, is bool) {
	certificate := outOfTime(err)
	if certificate == nil || !now.Before(certificate.NotBefore) {
		return "", false
	}
	return OutOfTime(certificate, now), true
}

// outOfTime is the certificate that an error finds to be too young or too old, nil for an error of another sort.
func outOfTime(err error) *x509.Certificate {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return invalid.Cert
	}
	return nil
}

// OutOfTime is what to do about a certificate whose time it is not. It names both times, because two clocks differ: the one
// that the certificate was issued by, and this machine's.
func OutOfTime(certificate *x509.Certificate, now time.Time) string {
	if now.Before(certificate.NotBefore) {
		return fmt.Sprintf("this machine's clock says %s, but the certificate is valid only from %s on: the clock is behind, set it and run a time service",
			stamp(now), stamp(certificate.NotBefore))
	}
	return fmt.Sprintf("this machine's clock says %s, but the certificate ended %s: set the clock if it is ahead, and renew the certificate if it is not",
		stamp(now), stamp(certificate.NotAfter))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
