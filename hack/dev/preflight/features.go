package preflight

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tryFeatures tries each feature for real, inside namespaces that are gone when it returns, and with files in scratch.
func tryFeatures(scratch string) map[string]string {
	result := make(chan map[string]string)
	go func() {
		// The thread is in namespaces of its own, so it must not run anything else: it is never unlocked, and ends
		// with this goroutine.
		runtime.LockOSThread()
		failed := map[string]string{}
		note := func(feature string, err error) {
			if err != nil {
				failed[feature] = err.Error()
			}
		}
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID); err != nil {
			note(featureNamespaces, err)
			result <- failed
			return
		}
		note(featureBridge, tryLinks())
		note(featureNFTables, tryNFTables())
		note(featureOverlay, tryOverlay(scratch))
		result <- failed
	}()
	return <-result
}

func tryLinks() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "try0"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	attrs.Name = "try1"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "try2"}); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	return nil
}

func tryNFTables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "try"})
	c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	return c.Flush()
}

func tryOverlay(scratch string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(scratch, ".try-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(path(name), 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", path("lower"), path("upper"), path("work"))
	if err := unix.Mount("overlay", path("merged"), "overlay", 0, options); err != nil {
		return err
	}
	return unix.Unmount(path("merged"), unix.MNT_DETACH)
}
