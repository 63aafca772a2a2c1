package machineinit

// Main is `drover-agent init`: it runs until the machine stops and returns the exit code. args are the command line
// after "init".
func Main(args []string) int {
	return 1
}
