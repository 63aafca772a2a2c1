package proc

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/drover-dev/drover/internal/procfs"
)

func TestParseRollup(t *testing.T) {
	text := "00400000-7fff00000000 ---p 00000000 00:00 0 [rollup]\nRss:               100 kB\nPss:                60 kB\nPss_Anon:           1 kB\nAnonymous:          20 kB\n"
	got, err := parseRollup(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Memory{Resident: 100 << 10, Proportional: 60 << 10, Anonymous: 20 << 10}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := parseRollup("Rss: 1 kB\n"); err == nil {
		t.Error("a rollup without its fields was taken for one")
	}
}

func TestBelowFindsAChildByItsName(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		found, err := Below(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if found["sleep 60"] == cmd.Process.Pid {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want sleep to be in it", found)
		}
	}
	memory, err := ReadMemory(cmd.Process.Pid)
	if err != nil || memory.Resident == 0 {
		t.Errorf("its memory is %+v (%v), want some", memory, err)
	}
	stat, err := procfs.ReadStat(cmd.Process.Pid)
	now, clockErr := SinceBoot()
	if err != nil || clockErr != nil || stat.Parent != os.Getpid() || now-stat.SinceBoot() > time.Minute || now < stat.SinceBoot() {
		t.Errorf("it is %+v at %s (%v, %v), want a child that started just now", stat, now, err, clockErr)
	}
}
