package nodeagent

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// A trouble is looked at again after as long as it has lasted, within these bounds. Most of what mends one raises an
	// event and is seen at once.
	leastRetry = 10 * time.Second
	mostRetry  = 5 * time.Minute
)

// trouble is an error that keeps this controller from doing its part for a machine and that time alone does not heal.
// A user reads it in the Machine's condition, with what to do.
type trouble struct {
	reason string
	err    error
}

func (t *trouble) Error() string { return t.err.Error() }
func (t *trouble) Unwrap() error { return t.err }

func troublef(reason, format string, args ...any) error {
	return &trouble{reason: reason, err: fmt.Errorf(format, args...)}
}

// shows says whether the trouble, rather than the agent's word, is what the Machine's condition tells. Without a
// NodeAgent it is why there is no word. What is wrong with the Node's labels and taints comes after what is wrong with
// the node, and after the agent's first report: until then the condition decides whether a token is good.
func (t *trouble) shows(o *observed, health *metav1.Condition) bool {
	switch {
	case t == nil:
		return false
	case o.agent == nil:
		return true
	}
	return o.reported() && (health == nil || health.Status == metav1.ConditionTrue)
}

// retryAfter is when to look at it again.
func (*trouble) retryAfter(o *observed) time.Duration {
	return min(max(o.now.Sub(o.troubled), leastRetry), mostRetry)
}
