package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/controllers/infra"
)

// workDir is where the manager keeps what is its own on a server: the agent that it installs from, and the lock file. It
// goes last.
const workDir = "/var/lib/drover-host"

// owner is the content of the lock file: who holds the server. Managers of other clusters leave it alone.
type owner struct {
	// Cluster is the UID of the namespace kube-system.
	Cluster string `json:"cluster"`
	// Namespace, Machine and UID are the HostMachine's.
	Namespace string `json:"namespace"`
	Machine   string `json:"machine"`
	UID       string `json:"uid"`
}

func (o owner) String() string {
	return fmt.Sprintf("HostMachine %s/%s (%s) of the cluster %s", o.Namespace, o.Machine, o.UID, o.Cluster)
}

// server is a machine that somebody is logged in on. Each of its methods may be repeated.
type server struct {
	remote.Connection
	agents agentFiles
	dir    string
	steps  steps
}

// visit is the server for one who comes before it is claimed, with a directory of its own: to clear that up must not take the
// lock file of a claimer that came meanwhile.
func (s *server) visit() *server {
	visit := *s
	visit.dir += ".visit"
	return &visit
}

func (s *server) program() string { return s.dir + "/drover-agent" }

// putAgent sees that the agent's program is there, and says which it is: that of a known architecture, in Go's names, or with none
// of what the server says. On a server that there is none for it leaves nothing.
func (s *server) putAgent(ctx context.Context, known string) (agentFile, error) {
	agent, there := s.agents[known]
	if !there {
		uname, err := s.run(ctx, "uname", "uname -m", nil)
		if err != nil {
			return agentFile{}, err
		}
		if agent, err = s.agents.of(strings.TrimSpace(string(uname))); err != nil {
			return agentFile{}, err
		}
	}
	packed, err := agent.packed()
	if err != nil {
		return agentFile{}, err
	}
	return agent, within(ctx, s.steps.copy, "the agent's copying", func(ctx context.Context) error {
		return s.Put(ctx, remote.File{Path: s.program(), Mode: 0o700, Size: agent.size, SHA256: agent.digest, Content: bytes.NewReader(packed), Packed: true})
	})
}

// ask has the agent say what the server is like, and finds out how far its clock is ahead of the manager's.
func (s *server) ask(ctx context.Context) (*node.HostReport, time.Duration, error) {
	if _, err := s.putAgent(ctx, ""); err != nil {
		return nil, 0, err
	}
	asked := time.Now()
	report, err := s.preflight(ctx)
	if err != nil || report.Facts.Time.IsZero() {
		return report, 0, err
	}
	return report, coarse(report.Facts.Time.Sub(asked.Add(time.Since(asked) / 2))), nil
}

// preflight asks the agent what the server is like. It changes nothing.
func (s *server) preflight(ctx context.Context) (*node.HostReport, error) {
	out, err := s.run(ctx, "the preflight", "'"+s.program()+"' preflight --output json", nil)
	if err != nil {
		return nil, cannotRun(err)
	}
	report := &node.HostReport{}
	if err := json.Unmarshal(out, report); err != nil {
		return nil, fmt.Errorf("read the preflight's report: %w", err)
	}
	return report, nil
}

// cannotRun says of a program that the shell may not execute what that means.
func cannotRun(err error) error {
	var failed *remote.Error
	if errors.As(err, &failed) && failed.ExitCode == 126 && !strings.Contains(failed.Message, "format error") {
		return &infra.Problem{Reason: v1alpha1.ReasonPreflightFailed,
			Message: "Programs below /var/lib cannot be run on the server: mount the file system without noexec."}
	}
	return err
}

// lock makes the server that owner's, or says whose it is.
func (s *server) lock(ctx context.Context, want owner) error {
	text, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	// The link is made only where there is none: of two managers one succeeds.
	script := fmt.Sprintf("set -e; umask 077; cd '%s'; t=lock.$$; cat >\"$t\"; sync \"$t\" 2>/dev/null || sync; ln \"$t\" lock 2>/dev/null || true; rm -f \"$t\"; cat lock", s.dir)
	out, err := s.run(ctx, "taking the lock file", "mkdir -p '"+s.dir+"' && { "+script+"; }", bytes.NewReader(text))
	if err != nil {
		return err
	}
	got, err := ownerIn(out)
	if err == nil && *got != want {
		err = heldBy(got)
	}
	return err
}

// held is whose the server is, by its lock file; nil if it has none.
func (s *server) held(ctx context.Context) (*owner, error) {
	out, err := s.run(ctx, "reading the lock file", fmt.Sprintf("if [ -e '%[1]s/lock' ]; then cat '%[1]s/lock'; fi", s.dir), nil)
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return nil, err
	}
	return ownerIn(out)
}

// ownerIn reads a lock file.
func ownerIn(text []byte) (*owner, error) {
	found := &owner{}
	if err := json.Unmarshal(text, found); err != nil {
		return nil, foreign(fmt.Sprintf("its lock file cannot be read (%q)", text))
	}
	return found, nil
}

func heldBy(other *owner) error { return foreign("it is held by " + other.String()) }

func foreign(why string) error {
	return &infra.Problem{Reason: v1alpha1.ReasonForeignHost,
		Message: fmt.Sprintf("The server is not this machine's: %s. If that one is gone, %s.", why, byHand())}
}

// byHand is how to clean a server that the manager does not clean.
func byHand() string {
	return fmt.Sprintf("run `%[1]s/drover-agent reset && rm -r %[1]s` on the server", workDir)
}

// install makes the server a node with the agent that was put there. The document is secret, and stays on the server only
// where the agent keeps it.
func (s *server) install(ctx context.Context, agent agentFile, document []byte) error {
	script := fmt.Sprintf(installScript, s.dir, sha256.Sum256(document), agent.digest)
	_, err := s.run(ctx, "the agent's installation", script, bytes.NewReader(document))
	return cannotRun(err)
}

// installScript takes the document from standard input, whole or not at all. Nobody but root may read that; of the directories that
// the agent makes, others must see into some, such as networkd, which is not root, into that of its configuration.
const installScript = `cd '%[1]s' || exit
trap 'rm -f bootstrap.json' EXIT; trap 'exit 143' HUP INT TERM
umask 077; cat >bootstrap.json || exit; umask 022
sum=$(sha256sum <bootstrap.json)
if [ "${sum%%%% *}" != %[2]x ]; then echo 'half of the bootstrap document came' >&2; exit 1; fi
'%[1]s/drover-agent' install --bootstrap '%[1]s/bootstrap.json' --sha256 %[3]s
`

// bootReport is what the agent left while it has no identity, empty if there is nothing.
func (s *server) bootReport(ctx context.Context) ([]byte, error) {
	return s.run(ctx, "reading the boot report", fmt.Sprintf("cat '%[1]s' || [ ! -e '%[1]s' ]", node.BootReportPath), nil)
}

// begun says whether there may be something on the server beside the manager's own directory: the agent makes its state's
// first, and nobody runs it before it is whole.
func (s *server) begun(ctx context.Context) (bool, error) {
	out, err := s.run(ctx, "looking for an agent", fmt.Sprintf("[ ! -e '%s' ] && [ ! -e '%s' ] || echo yes", s.program(), node.StateDir), nil)
	return len(out) > 0, err
}

// reset gives the server back, and fails with what is left.
func (s *server) reset(ctx context.Context) error {
	return within(ctx, s.steps.reset, "the agent's reset", func(ctx context.Context) error {
		_, err := s.Run(ctx, fmt.Sprintf("'%[1]s' reset && '%[1]s' reset --verify", s.program()), nil)
		return err
	})
}

// leave removes what is the manager's own, what a look that was cut short left included.
func (s *server) leave(ctx context.Context) error {
	_, err := s.run(ctx, "removing the manager's directory", fmt.Sprintf("rm -rf --one-file-system '%s' '%s'", s.dir, s.visit().dir), nil)
	return err
}
