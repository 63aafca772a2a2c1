package remote

import "regexp"

// sudoVerdicts are what sudo says, in the C locale, when it does not run the command; the first that fits holds. Both
// the classic sudo and sudo-rs are in it, for distributions ship either.
var sudoVerdicts = []struct {
	says   *regexp.Regexp
	reason string
	advice string
}{
	{regexp.MustCompile(`not in the sudoers file|may not run sudo|is not allowed to (execute|run)|I'm sorry .*\. I'm afraid I can't do that`),
		SudoDenied, "allow it in sudoers to run everything as root"},
	{regexp.MustCompile(`(?i)account validation failure|password is expired|password expired`),
		SudoDenied, "the account is locked or expired"},
	{sudoAsksAgain,
		SudoPasswordWrong, "sudo does not take the password: put the right one into the Secret"},
	{regexp.MustCompile(`(?i)(a password|authentication) is required|no password was provided`),
		SudoDenied, "sudo wants a password: give one, or allow the user NOPASSWD in sudoers"},
	{regexp.MustCompile(`must have a tty`),
		SudoDenied, "sudoers demands a terminal: exempt the user with !requiretty"},
	{regexp.MustCompile(`(?i)[‘'"]?sudo[’'"]?: (command )?(not found|no such file or directory)`),
		SudoDenied, "there is no sudo on the host: install it, or log in as root"},
	{regexp.MustCompile(`must be owned by uid 0|effective uid is not 0|no new privileges`),
		SudoDenied, "sudo itself is broken or kept from working on the host"},
}

// sudoAsksAgain is said after a wrong password. It must be seen before sudo ends, for sudo would take whatever comes next
// on standard input for the second try.
var sudoAsksAgain = regexp.MustCompile(`(?i)try again|incorrect (password|authentication) attempt`)

// judgeSudo tells why sudo did not start the command, from what it said; nil if it is nothing known.
func judgeSudo(user, said string) *Error {
	for _, verdict := range sudoVerdicts {
		if verdict.says.MatchString(said) {
			return failure(verdict.reason, "user %s: %s (it says: %s)", user, verdict.advice, clip(said))
		}
	}
	return nil
}
