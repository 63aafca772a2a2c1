package machineinit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/notify"
	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// What the test binary calls itself: the init of a machine, and an agent.
const (
	initName  = "test-init"
	agentName = selfupdate.ProgramName
)

// TestMain lets the test binary stand in for others: the real init, as the first process of a PID namespace, and an agent that
// does nothing but update itself. What is appended to its file is its version.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case initName:
		boot := &node.LocalBoot{}
		if err := json.Unmarshal([]byte(os.Args[1]), boot); err != nil {
			panic(err)
		}
		os.Exit(newKeeper(boot, os.Args[2]).run())
	case agentName:
		os.Exit(beAgent(os.Args[2]))
	}
	os.Exit(m.Run())
}

// versionMark goes before the version at the end of an agent's file.
const versionMark = "\nversion="

// report is what the agent says of itself.
type report struct {
	Version  string
	PID      int
	Status   *v1alpha1.AgentProgram
	Findings []v1alpha1.Finding
}

// beAgent is an agent that has a directory for its files.
func beAgent(dir string) int {
	runner := notify.FromEnvironment()
	p := &selfupdate.Programs{Dir: filepath.Join(dir, "agent"), Roots: rootsIn(dir), Log: logr.Discard()}
	p.Become(runner)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return 1
	}
	version := string(program[bytes.LastIndex(program, []byte(versionMark))+len(versionMark):])
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	u := &selfupdate.Updater{
		Programs: p, Log: logr.Discard(), Claim: func(bool) bool { return true }, Release: func() {}, Changed: func() {}, Within: time.Second,
		Lacks: func(context.Context) string {
			lacks, _ := os.ReadFile(filepath.Join(dir, "lacks-"+version))
			return string(lacks)
		},
		Heard: func() bool { return exists(dir, "heard-"+version) }, Refused: func() bool { return exists(dir, "refused-"+version) },
		Ready: func(context.Context) { _ = runner.Say(notify.Ready) },
	}
	go runner.KeepSaying(ctx, func() {})
	go func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
			var release *v1alpha1.AgentRelease
			if data, err := os.ReadFile(filepath.Join(dir, "wanted")); err == nil && json.Unmarshal(data, &release) == nil {
				u.Want(release)
			}
			said, _ := json.Marshal(report{version, os.Getpid(), u.Status(), u.Findings()})
			_, _ = atomicfile.WriteDerived(filepath.Join(dir, "report"), said, 0o644)
		}
	}()
	switch err := u.Run(ctx); {
	case errors.Is(err, selfupdate.ErrRestart):
		return 0
	default:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// machine is a real init with an agent.
type machine struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

// newMachine has the init run the agent v1.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a PID namespace needs root: run the tests as root")
	}
	m := &machine{t: t, dir: t.TempDir()}
	m.put("set-up", program(t, "v1"))
	t.Cleanup(m.crash)
	return m
}

// program is an agent of a version.
func program(t *testing.T, version string) []byte {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, versionMark+version...)
}

func (m *machine) put(name string, content []byte) {
	m.t.Helper()
	if err := atomicfile.Write(filepath.Join(m.dir, name), content, 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// boot starts the machine.
func (m *machine) boot(patience int) {
	m.t.Helper()
	link := filepath.Join(m.dir, agentName)
	if err := atomicfile.Symlink("set-up", link); err != nil {
		m.t.Fatal(err)
	}
	plan, err := json.Marshal(node.LocalBoot{Agent: []string{link, "run", m.dir}, StopSeconds: 1, PatienceSeconds: patience})
	if err != nil {
		m.t.Fatal(err)
	}
	m.cmd = exec.Command("/proc/self/exe", string(plan), filepath.Join(m.dir, "init.sock"))
	m.cmd.Args[0] = initName
	m.cmd.Stderr = m.t.Output()
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
}

// crash is a power cut, as far as processes are concerned.
func (m *machine) crash() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// agents are init's children, by their PIDs here.
func (m *machine) agents() []int {
	var all []int
	byThread, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", m.cmd.Process.Pid))
	for _, path := range byThread {
		data, _ := os.ReadFile(path)
		for word := range strings.FieldsSeq(string(data)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// signal says whether there was an agent.
func (m *machine) signal(s syscall.Signal) (sent bool) {
	for _, pid := range m.agents() {
		sent = syscall.Kill(pid, s) == nil || sent
	}
	return sent
}

// want asks for a version, as spec.agent does.
func (m *machine) want(release *v1alpha1.AgentRelease) {
	m.t.Helper()
	data, err := json.Marshal(release)
	if err != nil {
		m.t.Fatal(err)
	}
	m.put("wanted", data)
}

func (m *machine) report() report {
	var r report
	data, _ := os.ReadFile(filepath.Join(m.dir, "report"))
	_ = json.Unmarshal(data, &r)
	return r
}

// await waits for what the agent says.
func (m *machine) await(what string, is func(report) bool) report {
	m.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r := m.report()
		if is(r) {
			return r
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			state, _ := os.ReadFile(filepath.Join(m.dir, "agent", "update.json"))
			m.t.Fatalf("not in time: %s: it says %+v, and on disk there is %s", what, r, state)
		}
	}
}

// settledAt waits until an agent runs and nothing is on trial.
func (m *machine) settledAt(release *v1alpha1.AgentRelease) {
	m.t.Helper()
	m.await(release.Version+" proved itself", func(r report) bool {
		return r.Version == release.Version && r.Status != nil && r.Status.Digest == digest(release) && r.Status.Failed == nil && !m.onTrial() &&
			m.leadsTo("current") == digest(release)
	})
}

func (m *machine) onTrial() bool {
	data, err := os.ReadFile(filepath.Join(m.dir, "agent", "update.json"))
	return err == nil && bytes.Contains(data, []byte(`"trial"`))
}

// leadsTo is the image that a link leads to.
func (m *machine) leadsTo(link string) string {
	target, err := os.Readlink(filepath.Join(m.dir, "agent", link))
	if err != nil {
		return ""
	}
	return "sha256:" + target
}

func digest(release *v1alpha1.AgentRelease) string {
	_, digest, _ := strings.Cut(release.Artifacts[0].Image, "@")
	return digest
}

func TestAnAgentUpdatesItselfAndStaysSo(t *testing.T) {
	m := newMachine(t)
	releases := newReleases(t, m.dir)
	v2, v3, v4 := releases.of("v2", program(t, "v2")), releases.of("v3", program(t, "v3")), releases.of("v4", program(t, "v4"))
	m.boot(60)
	m.await("v1 runs", func(r report) bool { return r.Version == "v1" && r.Status == nil })
	m.want(v2)
	m.settledAt(v2)

	// However often a good one, or the machine, is killed: it is no version on trial.
	for range 3 { // five in a row would have init take its time
		before := m.report().PID
		m.signal(syscall.SIGKILL)
		m.await("v2 is back", func(r report) bool { return r.PID != before && r.Version == "v2" })
	}
	for range 4 {
		m.crash()
		m.put("report", nil)
		m.boot(60)
		m.settledAt(v2)
	}
	for _, next := range []*v1alpha1.AgentRelease{v3, v4} {
		m.want(next)
		m.settledAt(next)
	}
	if got := m.leadsTo("previous"); got != digest(v3) {
		t.Errorf("the one before it is %s, want v3's %s", got, digest(v3))
	}
	m.await("only these two are kept", func(report) bool {
		kept, err := filepath.Glob(filepath.Join(m.dir, "agent", "*", agentName))
		return err == nil && len(kept) == 4 // by their names, and by the links'
	})
	m.want(nil)
	m.await("without a wish it stays", func(r report) bool { return r.Version == "v4" })
}

func TestTheAgentBeforeComesBackFromABadOne(t *testing.T) {
	for name, c := range map[string]struct {
		program      []byte
		lacks        string
		reason, says string
	}{
		"exits at once":   {program: []byte("#!/bin/sh\nexit 1\n"), reason: v1alpha1.ReasonExited, says: "it ended 3 times in a row"},
		"is no program":   {program: []byte("nonsense"), reason: v1alpha1.ReasonNotStarted, says: "exec format error"},
		"hangs":           {program: []byte("#!/bin/sh\nexec sleep 600\n"), reason: v1alpha1.ReasonExited, says: "it ended 3 times in a row"},
		"never confirms":  {program: program(t, "bad"), lacks: "nobody heard of it", reason: v1alpha1.ReasonNotConfirmed, says: "within 1s: nobody heard of it"},
		"ends itself too": {program: []byte("#!/bin/sh\nkill -9 $$\n"), reason: v1alpha1.ReasonExited, says: "without having proved itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			m := newMachine(t)
			releases := newReleases(t, m.dir)
			good, bad, better := releases.of("v2", program(t, "v2")), releases.of("bad", c.program), releases.of("v3", program(t, "v3"))
			m.put("lacks-bad", []byte(c.lacks))
			m.boot(2)
			m.want(good)
			m.settledAt(good)
			m.want(bad)
			r := m.await("the bad one is given up, and v2 is back", func(r report) bool { // the bad one may say so before it is gone
				if r.Version == "bad" && (r.Status == nil || r.Status.Digest != digest(good)) {
					t.Errorf("one that has not proved itself says where it is from: %+v", r.Status)
				}
				return r.Version == "v2" && r.Status != nil && r.Status.Failed != nil
			})
			if f := r.Status.Failed; r.Status.Digest != digest(good) || f.Version != "bad" || f.Digest != digest(bad) || f.Reason != c.reason || !strings.Contains(f.Message, c.says) {
				t.Errorf("%s runs from %s, and %+v failed; want v2, and %s: %s", r.Version, r.Status.Digest, f, c.reason, c.says)
			}
			if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Message, "the agent bad was given up") {
				t.Errorf("the findings are %v", r.Findings)
			}

			// It is denied, by the next agent as well, until another one is asked for.
			m.signal(syscall.SIGKILL)
			m.await("v2 is back", func(now report) bool { return now.PID != r.PID && now.Version == "v2" && now.Status.Failed != nil })
			if m.onTrial() {
				t.Error("it is on trial again")
			}
			m.want(better)
			m.settledAt(better)
		})
	}
}

// Whether an agent that the API server refuses is at fault the one before it finds out, which is back.
func TestAnAgentThatTheAPIServerRefusesIsTriedAgainUnlessItTakesTheOneBefore(t *testing.T) {
	for name, othersToo := range map[string]bool{"it takes the one before": false, "it refuses that too": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			m := newMachine(t)
			releases := newReleases(t, m.dir)
			v2, v3 := releases.of("v2", program(t, "v2")), releases.of("v3", program(t, "v3"))
			m.boot(2)
			m.want(v2)
			m.settledAt(v2)
			m.put("lacks-v3", []byte("it is refused"))
			m.put("refused-v3", nil)
			m.want(v3)
			m.await("the new one is given up, for now", func(r report) bool {
				return r.Version == "v2" && r.Status.Failed != nil && len(r.Findings) == 1 && strings.Contains(r.Findings[0].Message, "unless the API server refuses")
			})
			if !othersToo {
				m.put("heard-v2", nil)
				m.await("it is given up for good", func(r report) bool {
					return r.Version == "v2" && r.Status.Failed != nil && strings.Contains(r.Findings[0].Message, "until spec.agent asks for another one")
				})
				return
			}
			m.put("refused-v2", nil)
			m.await("it is not its fault", func(r report) bool {
				return r.Version == "v2" && r.Status.Failed == nil && len(r.Findings) == 1 && strings.Contains(r.Findings[0].Message, "refuses what any agent writes")
			})
			m.put("lacks-v3", nil)
			m.put("heard-v2", nil)
			if err := os.Remove(filepath.Join(m.dir, "refused-v2")); err != nil {
				t.Fatal(err)
			}
			m.settledAt(v3)
		})
	}
}

// A version that was there when the machine was started anew had no fair trial.
func TestATrialGoesOnAfterTheMachineWasStartedAnew(t *testing.T) {
	m := newMachine(t)
	releases := newReleases(t, m.dir)
	v2 := releases.of("v2", program(t, "v2"))
	m.put("lacks-v2", []byte("time"))
	m.boot(60)
	m.want(v2)
	m.await("v2 is on trial", func(r report) bool { return r.Version == "v2" })
	m.crash()
	m.put("lacks-v2", nil)
	m.boot(60)
	m.settledAt(v2)
}

// TestAnUpdateThatIsKilledAtAnyStepGoesOn kills the agent after each thing that it changes on the disk.
func TestAnUpdateThatIsKilledAtAnyStepGoesOn(t *testing.T) {
	kills := 0
	for step := 1; ; step++ {
		m := newMachine(t)
		releases := newReleases(t, m.dir)
		v2, v3 := releases.of("v2", program(t, "v2")), releases.of("v3", program(t, "v3"))
		m.boot(60)
		m.want(v2)
		m.settledAt(v2)
		changes := m.watch()
		m.want(v3)
		killed := changes.await(step, func() bool { return m.report().Version == "v3" && !m.onTrial() })
		if killed && m.signal(syscall.SIGKILL) {
			kills++
		}
		m.settledAt(v3)
		if got := m.leadsTo("previous"); got != digest(v2) {
			t.Errorf("killed at step %d: the one before it is %s, want v2's", step, got)
		}
		m.crash()
		changes.close()
		if !killed {
			t.Logf("An update was %d changes on the disk, and was killed %d times", step-1, kills)
			if kills < 8 {
				t.Errorf("%d are too few for the kills to have been in the midst of it", kills)
			}
			return
		}
	}
}

func TestAFullDiskLeavesTheAgentThatRuns(t *testing.T) {
	m := newMachine(t)
	releases := newReleases(t, m.dir)
	v2 := releases.of("v2", program(t, "v2"))
	disk := filepath.Join(m.dir, "agent")
	if err := errors.Join(os.Mkdir(disk, 0o755), unix.Mount("drover-test", disk, "tmpfs", 0, "size=1m")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	m.boot(60)
	m.want(v2)
	r := m.await("what is in the way is said", func(r report) bool { return len(r.Findings) > 0 })
	if r.Version != "v1" || !strings.Contains(r.Findings[0].Message, "no space left on device") {
		t.Errorf("%s runs, and says %v", r.Version, r.Findings)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=500m"); err != nil {
		t.Fatal(err)
	}
	m.settledAt(v2)
}

func TestAnAgentThatHangsIsStartedAnewAndOneThatSaysNothingIsNot(t *testing.T) {
	m := newMachine(t)
	m.boot(1)
	before := m.await("v1 runs", func(r report) bool { return r.Version == "v1" })
	m.signal(syscall.SIGSTOP)
	m.await("another one runs", func(r report) bool { return r.PID != before.PID })
	m.crash()

	m.put("set-up", []byte("#!/bin/sh\necho $$ >> "+m.dir+"/starts\nsleep 3\necho over >> "+m.dir+"/starts\nsleep 600\n"))
	m.boot(1)
	m.await("it lives for three times as long as init has patience", func(report) bool {
		said, err := os.ReadFile(filepath.Join(m.dir, "starts"))
		return err == nil && strings.HasSuffix(string(said), "over\n") && len(strings.Fields(string(said))) == 2
	})
}
