package pidfd

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestOnlyTheProcessThatIsMeantIsKilled(t *testing.T) {
	process := exec.Command("/bin/sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	pid := process.Process.Pid
	asked := 0
	isMeant := func(meant bool) func(int) bool {
		return func(of int) bool { asked = of; return meant }
	}
	if Kill(pid, isMeant(false)) || asked != pid {
		t.Errorf("a process that is not meant was killed; asked of %d", asked)
	}
	if err := process.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	if !Kill(pid, isMeant(true)) {
		t.Error("the process that is meant was not killed")
		_ = process.Process.Kill()
	}
	_ = process.Wait()
	asked = 0
	if Kill(pid, isMeant(true)) || asked != 0 {
		t.Errorf("one that is gone was killed; asked of %d", asked)
	}
}
