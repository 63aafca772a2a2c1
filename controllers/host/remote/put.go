package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
)

var hexOfSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// mostAtOnce is what is sent without asking first whether it is there, in bytes: to ask takes a script of its own.
const mostAtOnce = 64 << 10

// have says "have", and ends the script, if the file is there. The size is asked first, for to hash takes long.
const have = `
if [ -f "$path" ] && [ ! -L "$path" ] && [ "$(stat -c %s "$path")" = "$size" ] &&
   [ "$(sha256sum <"$path" | cut -c1-64)" = "$sha256" ]; then
  chown 0:0 "$path"; chmod "$mode" "$path"; echo have; exit
fi
`

// take makes the file from standard input. Half a file is removed when the connection breaks; what a host left that went
// down meanwhile is removed at the next try.
const take = `
umask 022; mkdir -p -- "$dir"; umask 077
find "$dir" -maxdepth 1 -name "$stem.*" -mmin +10 -delete
temp=$(mktemp "$dir/$stem.XXXXXX")
trap 'rm -f -- "$temp"' EXIT; trap 'exit 143' HUP INT TERM
cat >"$temp"
got=$(sha256sum <"$temp" | cut -c1-64)
if [ "$got" != "$sha256" ]; then echo "received content with SHA-256 $got, not $sha256" >&2; exit 1; fi
chown 0:0 "$temp"; chmod "$mode" "$temp"
sync "$temp"; mv -fT -- "$temp" "$path"; sync "$dir"
`

func (c *connection) Put(ctx context.Context, file string, mode os.FileMode, content io.Reader, size int64, sha256 string) error {
	if !path.IsAbs(file) || path.Clean(file) != file || strings.Contains(file, "\x00") {
		return fmt.Errorf("put a file on %s: %q is not a clean absolute path", c.target.hostPort(), file)
	}
	if !hexOfSHA256.MatchString(sha256) {
		return fmt.Errorf("put %s on %s: %q is not a SHA-256 in hex", file, c.target.hostPort(), sha256)
	}
	settings := fmt.Sprintf("set -eu\npath=%s dir=%s stem=%s mode=%04o size=%d sha256=%s\n",
		quote(file), quote(path.Dir(file)), quote("."+escapeGlob(path.Base(file))+".drover"), mode.Perm(), size, sha256)
	if size <= mostAtOnce {
		_, err := c.Run(ctx, settings+have+take, io.LimitReader(content, size))
		return putFailed(file, err)
	}
	there, err := c.Run(ctx, settings+have, nil)
	if err == nil && strings.TrimSpace(string(there)) != "have" {
		_, err = c.Run(ctx, settings+take, io.LimitReader(content, size))
	}
	return putFailed(file, err)
}

// putFailed keeps the reason, and adds which file it was.
func putFailed(file string, err error) error {
	var typed *Error
	if !errors.As(err, &typed) {
		return err
	}
	named := *typed
	named.Message = "put " + file + ": " + typed.Message
	return &named
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// escapeGlob makes a name safe in find's patterns and in mktemp's templates alike: what is special becomes a dash.
func escapeGlob(name string) string {
	return regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(name, "-")
}
