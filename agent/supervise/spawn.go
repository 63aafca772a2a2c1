package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// spawn starts a process in a session of its own, its output appended to its log file. It returns the handle and the
// size of the log before the first line.
func spawn(p *Process) (h *handle, logOffset int64, err error) {
	log, logOffset, err := openLog(p.LogFile)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = null.Close() }()
	dir := p.Dir
	if dir == "" {
		dir = "/"
	}
	pidfd := -1
	attributes := &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	if cgroup := openCgroup(p.Cgroup); cgroup != nil {
		defer func() { _ = cgroup.Close() }()
		attributes.UseCgroupFD, attributes.CgroupFD = true, int(cgroup.Fd())
	}
	child, err := os.StartProcess(p.Path, p.argv(), &os.ProcAttr{
		Dir:   dir,
		Env:   append([]string{}, p.Env...), // never nil, which would mean our own environment
		Files: []*os.File{null, log, log},
		Sys:   attributes,
	})
	if err != nil {
		return nil, logOffset, fmt.Errorf("start %s: %w", p.Name, err)
	}
	pid := child.Pid
	if err := child.Release(); err != nil {
		return nil, logOffset, fmt.Errorf("start %s: %w", p.Name, err)
	}
	if pidfd < 0 {
		h, err = openHandle(pid)
	} else {
		h, err = newHandle(pid, pidfd)
	}
	if err != nil {
		return nil, logOffset, err
	}
	if err := setOOMScore(p, pid); err != nil {
		err = errors.Join(err, h.signal(syscall.SIGKILL))
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		h.close()
		return nil, logOffset, err
	}
	return h, logOffset, nil
}

// openCgroup opens the directory of a cgroup, nil where there is none: a process that is accounted for elsewhere is better
// than none.
func openCgroup(dir string) *os.File {
	if dir == "" {
		return nil
	}
	_ = os.Mkdir(dir, 0o755)
	cgroup, err := os.Open(dir)
	if err != nil {
		return nil
	}
	return cgroup
}

// openLog opens a log for appending, which is what makes truncating it under a running process safe.
func openLog(path string) (*os.File, int64, error) {
	if path == "" {
		path = os.DevNull
	} else if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	info, err := log.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open log: %w", err), log.Close())
	}
	return log, info.Size(), nil
}

// setOOMScore sets the score of a process that was just started.
func setOOMScore(p *Process, pid int) error {
	if p.OOMScoreAdj == nil {
		return nil
	}
	path := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
	err := os.WriteFile(path, []byte(strconv.Itoa(*p.OOMScoreAdj)), 0o644)
	if err != nil && !errors.Is(err, os.ErrPermission) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("set the OOM score of %s: %w", p.Name, err)
	}
	return nil // without CAP_SYS_RESOURCE the score cannot be lowered, which costs safety, not function
}
