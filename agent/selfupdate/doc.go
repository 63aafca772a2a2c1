// Package selfupdate has the agent replace itself by another version, and come back where that does not work out.
//
// An agent is an image, fetched and proved as a bundle is (agent/bundle). Whatever starts the agent, systemd or the init of a
// local machine, always starts one that is known to be good; that one, before it does anything else, looks whether another
// is to run in its place (Become), and becomes that by execve(2). So a version on trial is counted by one that works, and
// when it ends, for whatever reason, the one that is started again is the good one, which tries it once more or gives it up.
// A version has proved itself when it took over what runs on the machine and was heard of (Updater); then a link is moved to it.
//
//	<dir>/<64 hex>/drover-agent    an agent, by the digest of its image
//	<dir>/<16 hex>/drover-agent    one that `drover-agent install` put there, by the digest of its program
//	<dir>/current, <dir>/previous  links to the one that runs, and to the one before it
//	<dir>/update.json              what is on trial, and what was given up
//
// Each step is one rename, so that whatever is killed between two of them leaves one good agent, which goes on from there.
package selfupdate
