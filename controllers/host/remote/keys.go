package remote

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ParseKeys returns every entry of a Secret that is a private key, in the order of the entries' names. Other entries
// (public keys, passwords) are passed over. One key that cannot be used is an error, which names the entries and never
// quotes them: a key that is silently left out would be missed only at the next rotation.
func ParseKeys(secret map[string][]byte) ([]ssh.Signer, error) {
	var signers []ssh.Signer
	var bad []string
	names := slices.Sorted(maps.Keys(secret))
	for _, name := range names {
		if !bytes.Contains(secret[name], []byte("PRIVATE KEY-----")) {
			continue
		}
		signer, err := ssh.ParsePrivateKey(secret[name])
		if err != nil {
			bad = append(bad, fmt.Sprintf("entry %q %s", name, whyNoKey(err)))
			continue
		}
		signers = append(signers, signer)
	}
	switch {
	case len(bad) > 0:
		return nil, errors.New("parse private keys: " + strings.Join(bad, "; "))
	case len(signers) == 0:
		return nil, fmt.Errorf("parse private keys: none of the entries %q is a private key", names)
	}
	return signers, nil
}

// whyNoKey says it in our words, for those of a parser may quote what it parsed.
func whyNoKey(err error) string {
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		return "is encrypted with a passphrase, which nobody is there to type: remove it with ssh-keygen -p"
	}
	return "cannot be parsed as a private key"
}
