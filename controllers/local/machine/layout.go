package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// layout is where everything of one machine is on the host.
type layout struct{ root, namespace, name string }

func (l layout) dir() string       { return filepath.Join(l.root, l.namespace, l.name) }
func (l layout) record() string    { return filepath.Join(l.dir(), "record.json") }
func (l layout) boot() string      { return filepath.Join(l.dir(), "boot.json") }
func (l layout) console() string   { return filepath.Join(l.dir(), "console.log") }
func (l layout) upper() string     { return filepath.Join(l.dir(), "upper") }
func (l layout) work() string      { return filepath.Join(l.dir(), "work") }
func (l layout) mounted() string   { return filepath.Join(l.dir(), "root") }
func (l layout) variable() string  { return filepath.Join(l.dir(), "var") }
func (l layout) etcCNI() string    { return filepath.Join(l.dir(), "etc", "cni") }
func (l layout) etcDrover() string { return filepath.Join(l.dir(), "etc", "drover") }
func (l layout) optCNI() string    { return filepath.Join(l.dir(), "opt", "cni") }

// directories are made, in this order, before the first boot.
func (l layout) directories() []string {
	return []string{l.upper(), l.work(), l.mounted(), l.variable(), l.etcCNI(), l.etcDrover(), l.optCNI()}
}

// digest tells machines of equal names in other namespaces or below other roots apart.
func (l layout) digest() []byte {
	sum := sha256.Sum256([]byte(l.dir()))
	return sum[:]
}

// linkName is the host's end of the machine's link: the kernel takes 15 characters.
func (l layout) linkName() string { return "drv" + hex.EncodeToString(l.digest()[:6]) }

// hardwareAddress is the same for each boot, and locally administered.
func (l layout) hardwareAddress() string {
	d := l.digest()
	return net.HardwareAddr{0x02, d[6], d[7], d[8], d[9], d[10]}.String()
}

func (l layout) alias() string { return fmt.Sprintf("drover:%s/%s", l.namespace, l.name) }

// masks are the directories that machines must not see: the manager's state and other machines'. What is below the
// directories that every machine has for itself is hidden already.
func (l layout) masks() []string {
	mask := filepath.Dir(l.root)
	if mask == "/" {
		mask = l.root
	}
	for _, own := range []string{"/var", "/run", "/tmp", "/dev", "/proc", "/sys"} {
		if mask == own || strings.HasPrefix(mask, own+"/") {
			return nil
		}
	}
	return []string{mask}
}
