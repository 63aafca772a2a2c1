package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
)

// The agent's heap is a few megabytes: collecting it twice as often as Go would costs next to nothing and halves it.
// While a node starts there is better use for the processor.
const (
	gcPercent      = 50
	gcPercentFirst = 400
	memoryLimit    = 24 << 20
)

// relocated is where the kernel puts a program that relocates itself, which writes into what is read-only later.
const relocated = 1 << 32

const (
	// settleTime is when the agent has done most of what it does once.
	settleTime = 20 * time.Second
	// saveInterval is between giving back what the heap kept for its peaks; it takes some milliseconds.
	saveInterval = time.Minute
)

// saveMemory bounds the heap, and later gives back what only the start needed: of a binary of this size, most of what
// was mapped in by then is the initialization of packages. It returns when the context ends.
func saveMemory(ctx context.Context) {
	debug.SetGCPercent(gcPercentFirst)
	debug.SetMemoryLimit(memoryLimit)
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	debug.SetGCPercent(gcPercent)
	unmapProgram()
	runtime.GC() // what is in a sync.Pool, as buffers of a megabyte are, outlives one collection
	wait.UntilWithContext(ctx, func(context.Context) { debug.FreeOSMemory() }, saveInterval)
}

// unmapProgram drops the pages of the program itself from the process; they are in the page cache, and those still
// needed come back from there. Only mappings that cannot have been written to are touched.
func unmapProgram() {
	binary, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != binary || fields[1][1] == 'w' {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err == nil && to < relocated {
			// A hint: when the kernel will not take it, nothing is lost.
			_ = unix.Madvise(mapping(from, to), unix.MADV_DONTNEED)
		}
	}
}

// mapping is memory that Go's runtime knows nothing of, as a slice.
func mapping(from, to uintptr) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&from)), int(to-from))
}
