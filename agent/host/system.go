package host

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// System is the way to look at the machine.
type System struct {
	// Root goes before every path; "/" for the machine itself.
	Root string
	// Agent is the process whose cgroup and capabilities are the agent's, for who looks at the machine beside it; 0 for this one.
	Agent int
	// Hostname is the kernel's host name.
	Hostname func() (string, error)
	// LookupHost finds a name's addresses.
	LookupHost func(ctx context.Context, name string) ([]netip.Addr, error)
	// RouteTo says how packets to an address leave the machine.
	RouteTo func(netip.Addr) (Route, error)
	// Addresses are those of all links, in the kernel's order.
	Addresses func() ([]Route, error)
	// DiskBytes are the size of, and the room on, the filesystem of a path, or of the nearest directory above it that exists.
	DiskBytes func(path string) (size, free int64, err error)
	// NFTables fails where nftables cannot be used.
	NFTables func() error
	// ForwardDrops are the chains of others that drop pods' packets; nil for not known.
	ForwardDrops func() ([]ForwardDrop, error)
	// TimeSynchronized says whether a time service keeps the clock; nil, and where it is nil itself, for not known.
	TimeSynchronized func() *bool
}

// Route is the way out of the machine.
type Route struct {
	// Source is the address packets get.
	Source netip.Addr
	// Link is the interface's name.
	Link string
	// MTU is the interface's.
	MTU int
}

// NewSystem is the machine itself.
func NewSystem() *System {
	return &System{
		Root:       "/",
		Hostname:   os.Hostname,
		LookupHost: lookupHost,
		RouteTo:    routeTo,
		Addresses:  addresses,
		DiskBytes:  diskBytes,
		NFTables:   probeNFTables,

		ForwardDrops:     forwardDrops,
		TimeSynchronized: timeSynchronized,
	}
}

// Path is where a file of the machine is.
func (s *System) Path(name string) string { return filepath.Join(s.Root, name) }

// Exists says whether the machine has a file.
func (s *System) Exists(name string) bool {
	_, err := os.Stat(s.Path(name))
	return err == nil
}

// Text is a file's content without the white space around it, empty where there is no such file.
func (s *System) Text(name string) string {
	data, err := os.ReadFile(s.Path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (s *System) lines(name string) []string {
	text := s.Text(name)
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Integer is the number that a file has, 0 where there is none.
func (s *System) Integer(name string) int64 {
	n, _ := strconv.ParseInt(s.Text(name), 10, 64)
	return n
}

func lookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

func diskBytes(path string) (size, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(NearestDirectory(path), &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

// NearestDirectory is the path itself, or the nearest directory above it that exists: the filesystem it will be on.
func NearestDirectory(path string) string {
	for path != "/" && path != "." {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// probeNFTables lists the tables, which loads the kernel's module where there is one.
func probeNFTables() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	_, err = conn.ListTables()
	return err
}
