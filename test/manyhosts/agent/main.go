// Command agent stands in for drover-agent on the servers of the benchmark: a program, as the manager puts no other onto
// servers, which runs a script.
package main

import (
	_ "embed" // the script
	"fmt"
	"os"
	"syscall"
)

//go:embed agent.sh
var script string

func main() {
	err := syscall.Exec("/bin/sh", append([]string{"sh", "-c", script}, os.Args...), os.Environ())
	fmt.Fprintln(os.Stderr, "run the script:", err)
	os.Exit(1)
}
