// Package sshd is an SSH server within a test's process, on a loopback address. It really runs what it is asked to run, it can be
// a jump host, and it has the faults of the servers out there: it refuses keys, changes its own, breaks connections and
// hangs. A sudo of its own stands first on its PATH.
//
//	server := sshd.Start(t, sshd.Options{})
//	target := remote.Target{Address: server.Address, Port: server.Port, User: "root",
//		Signers: []ssh.Signer{server.UserKey}, HostKeys: server.HostKeyLines()}
package sshd
