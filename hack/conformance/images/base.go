package images

import (
	"context"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"regexp"
	"strings"

	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// busybox is Debian's static one. It cannot resolve names (a static glibc cannot), so what must is linked dynamically.
const busybox = "/bin/busybox"

// tools are this host's, and take the place of busybox's. Its shell forgets variables whose names are none of a
// shell's, such as the keys of a ConfigMap may be; upstream's newer one does not, nor does bash.
var tools = map[string]string{
	"bash":     "/bin/bash",
	"sh":       "/bin/bash",
	"curl":     "/usr/bin/curl",
	"dig":      "/usr/bin/dig",
	"getent":   "/usr/bin/getent",
	"hostname": "/bin/hostname",
	"nc":       "/bin/nc.openbsd",
}

// accounts are what tests expect of the images: a user with a group that only the image knows.
var accounts = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group": "root:x:0:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n" +
		"nogroup:x:65534:\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

// base are the files below every image but pause.
func base(ctx context.Context) ([]oci.File, error) {
	list, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tools of %s: %w: install busybox-static", busybox, err)
	}
	files := []oci.File{
		{Path: "bin/busybox", Source: busybox},
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "root", Mode: fs.ModeDir | 0o700},
	}
	for file, content := range accounts {
		files = append(files, oci.File{Path: file, Mode: 0o644, Content: []byte(content)})
	}
	for _, name := range strings.Fields(string(list)) {
		if _, real := tools[name]; !real && name != "busybox" {
			files = append(files, oci.File{Path: "bin/" + name, HardLink: "bin/busybox"})
		}
	}
	libraries := map[string]bool{}
	for name, source := range tools {
		files = append(files, oci.File{Path: "bin/" + name, Source: source})
		needs, err := exec.CommandContext(ctx, "ldd", source).Output()
		if err != nil {
			return nil, fmt.Errorf("find the libraries of %s: %w: install the package it is in", source, err)
		}
		for _, library := range librariesIn(string(needs)) {
			libraries[library] = true
		}
	}
	for library := range libraries {
		files = append(files, oci.File{Path: strings.TrimPrefix(path.Clean(library), "/"), Source: library})
	}
	return files, nil
}

// A line of ldd's is `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or, for the loader, only the path.
var library = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

func librariesIn(ldd string) []string {
	var found []string
	for _, match := range library.FindAllStringSubmatch(ldd, -1) {
		found = append(found, match[1])
	}
	return found
}
