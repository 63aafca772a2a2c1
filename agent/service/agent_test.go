package service

import (
	"os"
	"testing"
)

func TestTheAgentIsFoundWhileItHoldsItsLock(t *testing.T) {
	dir := t.TempDir()
	if got := Agent(dir); got != 0 {
		t.Errorf("where none ever ran: process %d", got)
	}
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := Agent(dir); got != os.Getpid() {
		t.Errorf("the agent is process %d, want %d", got, os.Getpid())
	}
	unlock()
	if got := Agent(dir); got != 0 {
		t.Errorf("after its end: process %d", got)
	}
}
