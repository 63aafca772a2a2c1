package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
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
// down meanwhile is removed at the next try. Each program that a script starts takes a slow host a tenth of a second, so it starts few.
const take = `
[ -d "$dir" ] || (umask 022; mkdir -p -- "$dir")
umask 077
for old in "$dir/$stem".*; do
  if [ -f "$old" ]; then find "$dir" -maxdepth 1 -name "$stem.*" -mmin +10 -delete; break; fi
done
temp=$dir/$stem.$$
trap 'rm -f -- "$temp"' EXIT; trap 'exit 143' HUP INT TERM
$unpack >"$temp"
got=$(sha256sum <"$temp"); got=${got%% *}
if [ "$got" != "$sha256" ]; then echo "received content with SHA-256 $got, not $sha256" >&2; exit 1; fi
chmod "$mode" "$temp"
mv -fT -- "$temp" "$path"; trap - EXIT
sync "$path" "$dir"
`

func (c *connection) Put(ctx context.Context, file File) error {
	if !path.IsAbs(file.Path) || path.Clean(file.Path) != file.Path || strings.Contains(file.Path, "\x00") {
		return fmt.Errorf("put a file on %s: %q is not a clean absolute path", c.target.hostPort(), file.Path)
	}
	if !hexOfSHA256.MatchString(file.SHA256) {
		return fmt.Errorf("put %s on %s: %q is not a SHA-256 in hex", file.Path, c.target.hostPort(), file.SHA256)
	}
	content, unpack := io.LimitReader(file.Content, file.Size), "cat"
	if file.Packed {
		content, unpack = file.Content, "gzip -dc"
	}
	settings := fmt.Sprintf("set -eu\npath=%s dir=%s stem=%s mode=%04o size=%d sha256=%s unpack=%s\n",
		quote(file.Path), quote(path.Dir(file.Path)), quote("."+escapeGlob(path.Base(file.Path))+".drover"), file.Mode.Perm(), file.Size, file.SHA256, quote(unpack))
	if file.Size <= mostAtOnce {
		_, err := c.Run(ctx, settings+have+take, content)
		return putFailed(file.Path, err)
	}
	there, err := c.Run(ctx, settings+have, nil)
	if err == nil && strings.TrimSpace(string(there)) != "have" {
		_, err = c.Run(ctx, settings+take, content)
	}
	return putFailed(file.Path, err)
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
