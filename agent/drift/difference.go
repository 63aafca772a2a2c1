package drift

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/drover-dev/drover/agent/redact"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// Difference is something that is not as the generation has it.
type Difference struct {
	// Name is a file's path, or a parameter's name.
	Name string
	// Detail is how it differs, without secrets and not long.
	Detail string
	// Changed is when it was changed at the latest, as far as that is known.
	Changed time.Time
}

func (d Difference) String() string { return d.Name + " " + d.Detail }

const (
	// maxLine is how much is shown of a line, and maxRead how much is read of a file that somebody put in another's place, in bytes.
	maxLine = 120
	maxRead = 1 << 20
)

// File is how a file differs from what it is to hold; nil where it does not.
func File(path string, want []byte, mode os.FileMode) *Difference {
	if atomicfile.Holds(path, want, mode) {
		return nil
	}
	d := &Difference{Name: path, Changed: changed(path)}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.Detail = "is gone"
	case err != nil:
		d.Detail = "cannot be read: " + reason(err)
	case !info.Mode().IsRegular():
		d.Detail = "is no file"
	case info.Size() > maxRead:
		d.Detail = fmt.Sprintf("has %d bytes, not %d", info.Size(), len(want))
	default:
		d.Detail = contentOrMode(path, want, mode, info.Mode())
	}
	return d
}

func contentOrMode(path string, want []byte, mode, has os.FileMode) string {
	have, err := os.ReadFile(path)
	if err != nil {
		return "cannot be read: " + reason(err)
	}
	if string(have) == string(want) {
		return fmt.Sprintf("has the mode %#o, not %#o", has.Perm(), mode.Perm())
	}
	return lines(string(want), string(have))
}

// Surplus is a file that is there and is not to be.
func Surplus(path string) Difference {
	return Difference{Name: path, Detail: "is not the node's", Changed: changed(path)}
}

// reason takes the path off an error, which is named beside it.
func reason(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return err.Error()
}

// lines is where two texts differ first, with how many lines do.
func lines(want, have string) string {
	wanted, had := strings.Split(redact.Text(want), "\n"), strings.Split(redact.Text(have), "\n")
	first := 0
	for first < len(wanted) && first < len(had) && wanted[first] == had[first] {
		first++
	}
	last := 0
	for last < len(wanted)-first && last < len(had)-first && wanted[len(wanted)-1-last] == had[len(had)-1-last] {
		last++
	}
	gone, put := wanted[first:len(wanted)-last], had[first:len(had)-last]
	more := ""
	if n := max(len(gone), len(put)); n > 1 {
		more = fmt.Sprintf(" (and %d more)", n-1)
	}
	switch {
	case len(gone) == 0 && len(put) == 0:
		return "differs in a secret"
	case len(gone) == 0:
		return fmt.Sprintf("has one more at line %d: %s%s", first+1, show(put[0]), more)
	case len(put) == 0:
		return fmt.Sprintf("lacks line %d: %s%s", first+1, show(gone[0]), more)
	default:
		return fmt.Sprintf("has at line %d %s, not %s%s", first+1, show(put[0]), show(gone[0]), more)
	}
}

func show(line string) string {
	line = strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD")
	if runes := []rune(line); len(runes) > maxLine {
		line = string(runes[:maxLine]) + "…"
	}
	return fmt.Sprintf("%q", line)
}

// changed is when a file was last changed, by the time that no program can set; of one that is gone, when its directory was.
func changed(path string) time.Time {
	for {
		if info, err := os.Lstat(path); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				return time.Unix(stat.Ctim.Unix())
			}
			return info.ModTime()
		}
		parent := filepath.Dir(path)
		if parent == path {
			return time.Time{}
		}
		path = parent
	}
}
