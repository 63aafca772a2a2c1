package diagnose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxFile is the most of a file that is no log.
	maxFile = 512 << 10
	// maxOutput is the most of what a program prints.
	maxOutput = 1 << 20
)

// part is one thing to collect.
type part struct {
	name string
	read func(context.Context, Options, *found)
}

// parts are all, the most telling first: what comes last is left out first where there is no room.
func parts() []part {
	return []part{
		{"agent", readAgent},
		{"processes", readProcesses},
		{"health", readHealth},
		{"config", readConfig},
		{"containers", readContainers},
		{"network", readNetwork},
		{"cgroups", readCgroups},
		{"machine", readMachine},
		{"systemd", readSystemd},
		{"kernel", readKernel},
		{"logs", readLogs},
	}
}

// found is what a part has found so far. What it finds after its time is not taken.
type found struct {
	mu      sync.Mutex
	over    bool
	files   []file
	missing []Missing
}

func (f *found) add(one file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.files = append(f.files, one)
	}
}

func (f *found) miss(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.missing = append(f.missing, Missing{What: what, Reason: err.Error()})
	}
}

// text adds a text unless it is empty.
func (f *found) text(name, content string) {
	if content != "" {
		f.add(file{name: name, content: []byte(content)})
	}
}

// json adds what a value is.
func (f *found) json(name string, value any) {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		f.miss(name, err)
		return
	}
	f.add(file{name: name, content: append(data, '\n')})
}

// copy adds a file of the node's.
func (f *found) copy(name, path string) {
	data, more, err := readFile(path, maxFile)
	if err != nil {
		f.miss(path, err)
		return
	}
	if filepath.Base(path) == "hosts.toml" {
		data = withoutHeaders(data)
	}
	f.add(file{name: name, content: data, cut: more})
}

// tree adds the files below a directory that are wanted; the others are missing for the reason that is given.
func (f *found) tree(name, dir string, refuse func(path string) string) {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			f.miss(path, err)
			return nil // the rest is read all the same
		}
		if entry.IsDir() {
			return nil
		}
		if why := refuse(path); why != "" {
			f.miss(path, errors.New(why))
			return nil
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f.copy(filepath.Join(name, relative), path)
		return nil
	})
	if err != nil {
		f.miss(dir, err)
	}
}

// run adds what a program prints, which is worth something also when it fails.
func (f *found) run(ctx context.Context, name, program string, args ...string) {
	path, err := exec.LookPath(program)
	if err != nil {
		f.miss(name, fmt.Errorf("%s is not installed", program))
		return
	}
	out := &bounded{most: maxOutput}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, time.Second
	if err := cmd.Run(); err != nil {
		said, _, more := strings.Cut(strings.TrimSpace(out.String()), "\n")
		f.miss(name, fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, said))
		if !more {
			return
		}
	}
	if out.Len() > 0 {
		f.add(file{name: name, content: out.Bytes(), cut: out.cut})
	}
}

// bounded is the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	most int
	cut  bool
}

// Write takes what there is room for, and never fails.
func (b *bounded) Write(data []byte) (int, error) {
	keep := data
	if room := b.most - b.Len(); len(keep) > room {
		keep, b.cut = keep[:max(0, room)], true
	}
	_, _ = b.Buffer.Write(keep)
	return len(data), nil
}

// collect reads all parts beside each other, each for as long as it may take.
func collect(ctx context.Context, o Options) []*found {
	all := make([]*found, len(o.parts))
	var reading sync.WaitGroup
	for i, p := range o.parts {
		all[i] = &found{}
		reading.Go(func() { p.within(ctx, o, all[i]) })
	}
	reading.Wait()
	return all
}

// within reads a part. One that hangs, as in the kernel on a dead disk, is left behind with what it had found.
func (p part) within(ctx context.Context, o Options, f *found) {
	bounded, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read(bounded, o, f)
	}()
	timer := time.NewTimer(o.timeout + time.Second) // for what it tells of its own timeouts
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		f.miss(p.name, fmt.Errorf("it was not read within %s; what had been read by then is here", o.timeout))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.files = slices.Clone(f.files)
}

// readOpen reads the beginning or the end of an open file. The size is that of a file on a disk; those of /proc have none.
func readOpen(f *os.File, size, most int64, tail bool) ([]byte, bool, error) {
	if tail && size > most {
		if _, err := f.Seek(size-most, io.SeekStart); err != nil {
			return nil, false, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, false, err
	}
	more := int64(len(data)) > most || tail && size > most
	if _, rest, whole := bytes.Cut(data, []byte("\n")); tail && size > most && whole {
		data = rest // a part of a line may be a part of a secret, which nobody recognises
	}
	return data[:min(int64(len(data)), most)], more, nil
}
