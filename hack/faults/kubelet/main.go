// Command kubelet is a kubelet that does not work, in one of the ways in which they do not, to try what a node does with it.
// The linker says which way: exits at once, hangs without a word, answers its health endpoint with 500, or is the real one and
// dies after a while.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// way is set by the linker (-X main.way=…).
var way = "exits"

// health is where a kubelet says that it is healthy.
const health = "127.0.0.1:10248"

// lives is how long the one that dies runs: long enough to be ready, and shorter than a probation.
const lives = 7 * time.Second

func main() { os.Exit(run()) }

// run fails in the way that it was built for.
func run() int {
	fmt.Fprintln(os.Stderr, "this kubelet was built not to work: it", way)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch way {
	case "hangs":
		<-ctx.Done()
	case "errs":
		server := http.Server{Addr: health, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "built not to be healthy", http.StatusInternalServerError)
		})}
		go func() { <-ctx.Done(); _ = server.Close() }()
		fmt.Fprintln(os.Stderr, server.ListenAndServe())
	case "dies":
		fmt.Fprintln(os.Stderr, real(ctx))
	}
	return 1
}

// real runs the real kubelet for a while. It is in the program that kube-proxy is, by the name that it is called as.
func real(ctx context.Context) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lives)
	defer cancel()
	kubelet := exec.CommandContext(ctx, filepath.Join(filepath.Dir(own), "kube-proxy"))
	kubelet.Args = append([]string{"kubelet"}, os.Args[1:]...)
	kubelet.Stdout, kubelet.Stderr = os.Stdout, os.Stderr
	kubelet.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return kubelet.Run()
}
