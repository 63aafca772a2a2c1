package progress_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/hack/dev/progress"
)

const columns = 40

// A line that stays and comes while a step runs takes the place of that one's, which is written anew below it.
func TestANoteDuringAStepHasALineOfItsOwn(t *testing.T) {
	var out strings.Builder
	p := progress.New(&out, true, time.Now)
	if err := p.Step("Step", func(func(string)) error { p.Note("why it takes long"); return nil }); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		rows := strings.Split(line, "\r\033[K")
		if last := rows[len(rows)-1]; strings.Contains(last, "why it takes long") && strings.Contains(last, "Step") {
			t.Errorf("the note stands behind the step: %q", last)
		}
	}
}

// Only the last row of a line that wraps is rewritten: each time, the others would stay.
func TestRewrittenLinesDoNotWrap(t *testing.T) {
	long := strings.Repeat("é", 3*columns)
	tests := map[string]struct {
		lasting string
		run     func(*os.File) error
	}{
		"a Printer's step": {
			lasting: "✓ " + long,
			run: func(terminal *os.File) error {
				return progress.New(terminal, true, time.Now).Step(long, func(say func(string)) error { say(long); return nil })
			},
		},
		"hack/step.sh": {
			lasting: "✓ Build",
			run: func(terminal *os.File) error {
				step := exec.Command("../../step.sh", "Build", long, "sleep", "2.5")
				step.Env = append(os.Environ(), "MAKEFLAGS=", "DROVER_STEPS=")
				step.Stdout, step.Stderr = terminal, terminal
				return step.Run()
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			printed := onTerminal(t, tc.run)
			rewritten, lasting := 0, false
			for line := range strings.SplitSeq(printed, "\r\033[K") {
				lasting = lasting || strings.Contains(line, tc.lasting)
				if !strings.Contains(line, "…") {
					continue
				}
				rewritten++
				if width := utf8.RuneCountInString(line); width != columns-1 || !strings.HasSuffix(line, "é…") {
					t.Errorf("a line of %d columns on a terminal of %d: %q", width, columns, line)
				}
			}
			if rewritten == 0 || !lasting {
				t.Errorf("%d lines were rewritten, %q stays: %t; want some, and true: %q", rewritten, tc.lasting, lasting, printed)
			}
		})
	}
}

// onTerminal returns what run writes to a terminal.
func onTerminal(t *testing.T, run func(*os.File) error) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = master.Close() }()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	printed := make(chan string)
	go func() {
		raw, _ := io.ReadAll(master) // it ends with EIO once the terminal is closed
		printed <- string(raw)
	}()
	failed := run(terminal)
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	text := <-printed
	if failed != nil {
		t.Fatalf("%v: %q", failed, text)
	}
	return text
}
