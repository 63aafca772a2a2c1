// Package progress prints what a long run is doing, and for how long, to somebody who watches.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Printer prints steps. On a terminal the line of the present step is kept up to date; elsewhere each change of its
// detail is a line.
type Printer struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
	start    time.Time

	mu    sync.Mutex
	steps []Done
}

// Done is a step that ended and the time it took.
type Done struct {
	Name string
	Took time.Duration
}

// New returns a printer whose clock starts now.
func New(out io.Writer, terminal bool, now func() time.Time) *Printer {
	return &Printer{out: out, terminal: terminal, now: now, start: now()}
}

// Step runs do. What do passes to say is shown while it runs, such as what it waits for.
func (p *Printer) Step(name string, do func(say func(detail string)) error) error {
	start, said := p.now(), ""
	say := func(detail string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.terminal:
			line := fmt.Sprintf("%s  … %s (%s) %s", p.stamp(), name, Seconds(p.now().Sub(start)), detail)
			p.printf("\r\033[K%s", clip(line, p.width()))
		case detail != said:
			p.printf("%s  … %s: %s\n", p.stamp(), name, clip(detail, 160))
		}
		said = detail
	}
	if p.terminal {
		say("")
	}
	err := do(say)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		p.printf("\r\033[K")
	}
	took := p.now().Sub(start)
	if err != nil {
		p.printf("%s  ✗ %s (%s)\n", p.stamp(), name, Seconds(took))
		return err
	}
	p.printf("%s  ✓ %s (%s)\n", p.stamp(), name, Seconds(took))
	p.steps = append(p.steps, Done{Name: name, Took: took})
	return nil
}

// Steps are those that ended well, in order.
func (p *Printer) Steps() []Done {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Done(nil), p.steps...)
}

// Elapsed is the time since New.
func (p *Printer) Elapsed() time.Duration { return p.now().Sub(p.start) }

// Seconds is how a duration is printed.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func (p *Printer) stamp() string { return fmt.Sprintf("%6.1fs", p.Elapsed().Seconds()) }

// printf ignores errors: there is nobody left to tell.
func (p *Printer) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

// width is how many columns a line may fill that is to be rewritten: of one that wraps, only the last row would be. The
// last column is left free, as some terminals wrap there before anything comes after it.
func (p *Printer) width() int {
	const usual = 80
	if f, ok := p.out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 1 {
			return int(size.Col) - 1
		}
	}
	return usual - 1
}

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// Note prints a line of its own.
func (p *Printer) Note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal { // the present step's line is written anew
		p.printf("\r\033[K")
	}
	p.printf("%s  · %s\n", p.stamp(), text)
}
