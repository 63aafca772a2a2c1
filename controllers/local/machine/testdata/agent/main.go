// Command agent stands in for drover-agent on the machines of this package's tests: `init` is the real one, `run`
// answers questions about the machine over HTTP.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/machineinit"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		os.Exit(machineinit.Main(os.Args[2:]))
	}
	answer := func(w http.ResponseWriter, text string, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, text)
	}
	http.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(r.FormValue("path"))
		answer(w, string(data), err)
	})
	http.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "", os.WriteFile(r.FormValue("path"), []byte(r.FormValue("data")), 0o600))
	})
	http.HandleFunc("/list", func(w http.ResponseWriter, r *http.Request) {
		entries, err := os.ReadDir(r.FormValue("path"))
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		answer(w, strings.Join(names, " "), err)
	})
	http.HandleFunc("/link", func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("path")
		_ = os.MkdirAll(filepath.Dir(name), 0o755)
		_ = os.RemoveAll(name)
		answer(w, "", os.Symlink(r.FormValue("to"), name))
	})
	http.HandleFunc("/unmount", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "", unix.Unmount(r.FormValue("path"), unix.MNT_DETACH))
	})
	http.HandleFunc("/eat", func(w http.ResponseWriter, r *http.Request) {
		mb, err := strconv.Atoi(r.FormValue("mb"))
		eaten := make([]byte, mb<<20)
		for i := 0; i < len(eaten); i += 4096 {
			eaten[i] = 1
		}
		answer(w, "full", err)
	})
	http.HandleFunc("/exec", func(w http.ResponseWriter, r *http.Request) {
		out, err := exec.Command("/bin/sh", "-c", r.FormValue("command")).CombinedOutput()
		answer(w, string(out), err)
	})
	http.HandleFunc("/exit", func(_ http.ResponseWriter, _ *http.Request) { os.Exit(3) })
	fmt.Println("Listening", os.Getpid())
	fmt.Println(http.ListenAndServe(":7777", nil))
	os.Exit(1)
}
