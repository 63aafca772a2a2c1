package remote

import "testing"

func TestSudoIsJudgedByWhatItSays(t *testing.T) {
	for said, want := range map[string]string{
		"sudo: a password is required":                                                                       SudoDenied,
		"sudo: interactive authentication is required":                                                       SudoDenied,
		"sudo: no password was provided\nsudo: a password is required":                                       SudoDenied,
		"ops is not in the sudoers file.":                                                                    SudoDenied,
		"ops is not in the sudoers file.  This incident will be reported.":                                   SudoDenied,
		"Sorry, user ops may not run sudo on web1.":                                                          SudoDenied,
		"ops is not allowed to run sudo on web1.":                                                            SudoDenied,
		"Sorry, user ops is not allowed to execute '/bin/sh' as root on w.":                                  SudoDenied,
		"sudo: I'm sorry ops. I'm afraid I can't do that":                                                    SudoDenied,
		"sudo: sorry, you must have a tty to run sudo":                                                       SudoDenied,
		"sudo: account validation failure, is your account locked?":                                          SudoDenied,
		"sudo: Account or password is expired, reset your password and try again":                            SudoDenied,
		"env: 'sudo': No such file or directory":                                                             SudoDenied,
		"env: ‘sudo’: No such file or directory":                                                             SudoDenied,
		"env: can't execute 'sudo': No such file or directory":                                               SudoDenied,
		"sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set":                             SudoDenied,
		"Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt":              SudoPasswordWrong,
		"Sorry, try again.\nsudo: no password was provided\nsudo: a password is required":                    SudoPasswordWrong,
		"sudo: 3 incorrect password attempts":                                                                SudoPasswordWrong,
		"sudo: Authentication failed, try again.\nsudo: Maximum 3 incorrect authentication attempts reached": SudoPasswordWrong,
		"This account is currently not available.":                                                           "",
		"": "",
	} {
		got := ""
		if err := judgeSudo("ops", said); err != nil {
			got = err.Reason
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}
