package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what a process has, in bytes.
type Memory struct {
	// Resident is all of its pages in memory.
	Resident int64
	// Proportional is the same with each shared page divided by the number of processes that share it.
	Proportional int64
	// Anonymous are the pages that no file stands behind.
	Anonymous int64
}

// Add adds up.
func (m Memory) Add(other Memory) Memory {
	return Memory{m.Resident + other.Resident, m.Proportional + other.Proportional, m.Anonymous + other.Anonymous}
}

// ReadMemory reads a process's, from /proc/<pid>/smaps_rollup.
func ReadMemory(pid int) (Memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("look at the memory of process %d: %w", pid, err)
	}
	return parseRollup(string(data))
}

func parseRollup(text string) (Memory, error) {
	m := Memory{}
	fields := map[string]*int64{"Rss:": &m.Resident, "Pss:": &m.Proportional, "Anonymous:": &m.Anonymous}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || fields[words[0]] == nil {
			continue
		}
		kib, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("read a process's memory: %w", err)
		}
		*fields[words[0]] = kib << 10
		delete(fields, words[0])
	}
	if len(fields) > 0 {
		return Memory{}, fmt.Errorf("read a process's memory: smaps_rollup lacks %d of the fields", len(fields))
	}
	return m, nil
}
