package sshd

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"
)

// Sudo is what the sudo on a server's PATH does. It takes options and standard input as the real one does, and says what
// that says in the C locale, but makes nobody root.
type Sudo struct {
	// Password is what it asks for; if empty, it does not ask.
	Password string
	// NotInSudoers refuses the user, after the password.
	NotInSudoers bool
	// Log is a file to which it adds its arguments and its environment, for tests that look for secrets there.
	Log string
}

//go:embed sudo.sh
var sudoScript []byte

// installSudo returns the PATH on which it is found.
func installSudo(t testing.TB, sudo *Sudo) string {
	t.Helper()
	if sudo == nil {
		return defaultPath()
	}
	dir := t.TempDir()
	settings := map[string]string{"password": sudo.Password, "log": sudo.Log}
	if sudo.NotInSudoers {
		settings["refuse"] = "yes"
	}
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join(dir, "sudo."+name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sudo"), sudoScript, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + ":" + defaultPath()
}
