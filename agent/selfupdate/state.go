package selfupdate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

const (
	stateName = "update.json"
	// schema is of the file. An agent reads what a later one wrote, as the good one is the older one.
	schema = 1
)

// state is what is on disk of an update. It is replaced as a whole.
type state struct {
	Schema int `json:"schema"`
	// Trial is the version on trial, nil for none.
	Trial *trial `json:"trial,omitempty"`
	// Failed is the one that was given up last, nil for none since another one was asked for.
	Failed *failure `json:"failed,omitempty"`
	// Pardoned is the digest of the one that was given up without its fault, and is to be tried again when the API server takes what
	// agents write.
	Pardoned string `json:"pardoned,omitempty"`
}

// trial is a version that has yet to prove itself.
type trial struct {
	Version string `json:"version"`
	// Digest is that of its image.
	Digest string `json:"digest"`
	// Boots is in how many boots of the machine it was started, Boot the last of them, Starts how often in that, and Last when
	// for the last time, since the boot.
	Boots  int           `json:"boots,omitempty"`
	Boot   string        `json:"boot,omitempty"`
	Starts int           `json:"starts,omitempty"`
	Last   time.Duration `json:"last,omitempty"`
	// Said is what it said when it ended last.
	Said string `json:"said,omitempty"`
}

// failure is a version that was given up.
type failure struct {
	Version string      `json:"version"`
	Digest  string      `json:"digest"`
	Reason  string      `json:"reason"`
	Message string      `json:"message"`
	Time    metav1.Time `json:"time"`
	// Refused says that the API server refused what it wrote. Whether that was its fault the one before it finds out, which is back.
	Refused bool `json:"refused,omitempty"`
}

// read never fails: a file that is of no use says that nothing is on trial.
func (p *Programs) read() state {
	var s state
	data, err := os.ReadFile(filepath.Join(p.Dir, stateName))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.Log.Error(err, "Took no version of the agent to be on trial")
		return state{}
	}
	return s
}

// gaveUp says whether a version is denied.
func (p *Programs) gaveUp(digest string) bool {
	s := p.read()
	return s.Failed != nil && s.Failed.Digest == digest
}

func (p *Programs) write(s state) error {
	s.Schema = schema
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode what agent is on trial: %w", err)
	}
	return atomicfile.Write(filepath.Join(p.Dir, stateName), append(data, '\n'), 0o600)
}

// giveUp has a version denied, and never started again until another one was asked for.
func (p *Programs) giveUp(t *trial, why failure) error {
	p.Log.Info("Gave up a version of the agent", "version", t.Version, "digest", t.Digest, "reason", why.Reason, "message", why.Message)
	why.Version, why.Digest, why.Message, why.Time = t.Version, t.Digest, v1alpha1.BoundMessage(why.Message), metav1.NewTime(time.Now().Truncate(time.Second))
	return p.write(state{Failed: &why})
}
