package planner

import "fmt"

// counted is a number with what it counts, or with what these do: "1 machine", "2 machines"; "1 waits", "2 wait".
func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// machinesOf is a part of the machines with what it is or does: "1 of 2 machines is", "2 of 2 machines are".
func machinesOf(n, all int, one, more string) string {
	machines, does := "machines", more
	if all == 1 && n <= 1 {
		machines, does = "machine", one
	}
	if n == 1 {
		does = one
	}
	return fmt.Sprintf("%d of %d %s %s", n, all, machines, does)
}
