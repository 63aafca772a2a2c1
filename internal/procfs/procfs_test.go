package procfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/test/limits"
)

func TestParse(t *testing.T) {
	const rest = " 7 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 12345 1 2\n"
	whole := Stat{Parent: 7, StartTime: 12345, CPU: 2 * time.Second, state: "S"}
	dead, zombie := whole, whole
	dead.state, zombie.state = "X", "Z"
	cases := map[string]struct {
		reason string
		line   string
		want   Stat
		ended  bool
	}{
		"plain":     {"the fields are where proc_pid_stat(5) has them", "42 (sleep) S" + rest, whole, false},
		"odd name":  {"a name may look like the fields after it", "42 (a) S 1 (b) c) S" + rest, whole, false},
		"zombie":    {"its exit code waits to be asked for", "42 (sleep) Z" + rest, zombie, true},
		"dead":      {"it is just being collected", "42 (sleep) X" + rest, dead, true},
		"shortened": {"a line cut short is no whole one", "42 (sleep) S 7", Stat{}, false},
		"no name":   {"nothing says where the fields begin", "42 S" + rest, Stat{}, false},
		"no number": {"a start time must be one", "42 (sleep) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 soon 1 2", Stat{}, false},
		"empty":     {"there is nothing to read", "", Stat{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parse([]byte(c.line))
			if got != c.want || (err != nil) != (c.want == Stat{}) || got.Ended() != c.ended {
				t.Errorf("%s: got %+v (%v), want %+v", c.reason, got, err, c.want)
			}
		})
	}
}

// The name of a process is its program's, up to 15 bytes of it.
func TestReadStatOfAProcessWithAnOddName(t *testing.T) {
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "a) S 1 (b")
	if err := os.WriteFile(program, sleep, 0o700); err != nil {
		t.Fatal(err)
	}
	process := exec.Cmd{Path: program, Args: []string{"sleep", "600"}}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	pid := process.Process.Pid
	defer func() { _, _ = process.Process.Kill(), process.Wait() }()
	stat, err := ReadStat(pid)
	if err != nil || stat.Parent != os.Getpid() || stat.StartTime == 0 || stat.Ended() {
		t.Errorf("it is %+v (%v), want a child of ours that runs", stat, err)
	}
	limits.WithoutFiles(t, func() { _, err = ReadStat(pid) })
	if !errors.Is(err, unix.EMFILE) || IsGone(err) {
		t.Errorf("got %v without a file to look with, want that, and that it does not mean that the process is gone", err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if killed, err := ReadStat(pid); err != nil || !killed.Ended() || killed.StartTime != stat.StartTime {
		t.Errorf("it is %+v (%v), want that it ended", killed, err)
	}
	_ = process.Wait()
	if _, err := ReadStat(pid); !IsGone(err) {
		t.Errorf("got %v of a process that was collected, want that it is gone", err)
	}
}

func TestBootIDIsTheKernels(t *testing.T) {
	first, err := BootID()
	if err != nil || len(first) != len("00000000-0000-0000-0000-000000000000") {
		t.Errorf("it is %q, %v", first, err)
	}
	if again, err := BootID(); err != nil || again != first {
		t.Errorf("then it is %q, %v", again, err)
	}
}
