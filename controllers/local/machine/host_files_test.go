package machine

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestAMachineThatDoesNotAnswerHoldsUpNobody(t *testing.T) {
	var r readers
	hung, other := Process{PID: 1}, Process{PID: 2}
	release := make(chan struct{})
	var calls atomic.Int32
	never := func() ([]byte, error) { calls.Add(1); <-release; return nil, errors.New("late") }
	quick := func() ([]byte, error) { return []byte("here"), nil }

	if data, err := r.bounded(hung, time.Millisecond, never); err == nil {
		t.Fatalf("read %q of a file system that does not answer", data)
	}
	if _, err := r.bounded(hung, time.Minute, never); err == nil || calls.Load() != 1 {
		t.Errorf("a second read was begun beside the hanging one (%d calls, %v)", calls.Load(), err)
	}
	if data, err := r.bounded(other, time.Minute, quick); err != nil || string(data) != "here" {
		t.Errorf("another machine's file: %q, %v", data, err)
	}
	close(release)
	eventually(t, "the machine is read again once it answered", func() bool {
		data, err := r.bounded(hung, time.Minute, quick)
		return err == nil && string(data) == "here"
	})
}
