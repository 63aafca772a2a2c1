package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/drover-dev/drover/hack/dev/process"
)

// startTimeout bounds a start until a user can log in: 30 s on a quiet host, 90 s on a busy one, and a reset in between.
const startTimeout = 6 * time.Minute

// Up starts the machine, unless it runs, and waits until one can log in. It says what it waits for.
func (ms Machines) Up(ctx context.Context, spec Spec, say func(string)) (*Machine, error) {
	m, err := ms.start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start machine %s: %w", spec.Name, err)
	}
	return m, ms.Wait(ctx, m, say)
}

func (ms Machines) start(ctx context.Context, spec Spec) (*Machine, error) {
	m, err := ms.named(spec.Name)
	if err != nil {
		return nil, err
	}
	unlock, err := ms.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, running := m.Running(); running {
		return ms.running(spec)
	}
	if !ms.Image().Exists() {
		return nil, errors.New("there is no image: run `make vm-image`")
	}
	net, err := networkOf(spec)
	if err != nil {
		return nil, err
	}
	m.Spec = spec
	if err := errors.Join(m.record(), ms.makeDisk(ctx, m)); err != nil {
		return nil, err
	}
	if err := m.attach(net.bridge); err != nil {
		return nil, err
	}
	return m, ms.run(m, net)
}

// running is the machine that runs under the name of one to start.
func (ms Machines) running(spec Spec) (*Machine, error) {
	m, err := ms.Get(spec.Name)
	if err == nil && m.Spec.Address != spec.Address {
		err = fmt.Errorf("it runs already, at %s: `drover-vm down %s` ends it", m.Spec.Address, spec.Name)
	}
	return m, err
}

// makeDisk makes the overlay. What a machine that is off has written stays.
func (ms Machines) makeDisk(ctx context.Context, m *Machine) error {
	disk := m.path("disk.qcow2")
	if _, err := os.Stat(disk); err == nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", ms.Image().Disk(), "-F", "raw", disk).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make its disk: %w: %s", err, out)
	}
	return nil
}

func (ms Machines) run(m *Machine, net network) error {
	emulator, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return fmt.Errorf("find the emulator: %w: install qemu-system-x86", err)
	}
	// Its console tells of this run alone.
	if err := os.WriteFile(m.Console(), nil, 0o644); err != nil {
		return err
	}
	for _, c := range []process.Command{
		{Name: m.emulator(), Path: emulator, Args: ms.arguments(m, net), Log: m.path("qemu.log")},
		{Name: m.watcher(), Path: ms.layout.Bin("drover-vm"), Args: []string{"--repository", ms.layout.Repository, "watch", m.Spec.Name}, Log: m.path("watch.log")},
	} {
		c.World = m.world
		if _, err := c.Start(); err != nil {
			return err
		}
	}
	return nil
}

// arguments are the emulator's.
func (ms Machines) arguments(m *Machine, net network) []string {
	kernel := []string{
		"root=/dev/vda rw rootfstype=ext4 console=ttyS0 net.ifnames=0",
		// Of what the emulated CPU would do for nothing.
		"mitigations=off nokaslr no_timer_check tsc=reliable random.trust_cpu=on",
		"systemd.hostname=" + m.Spec.Name, "systemd.log_color=no",
		fmt.Sprintf("ip=%s::%s:%s::eth0:none:%s", m.Spec.Address, net.gateway.Addr(), netmask(net.gateway), net.resolver),
	}
	return []string{
		"-name", m.Spec.Name,
		"-machine", "q35,hpet=off,vmport=off,smm=off", "-accel", "tcg,thread=multi,tb-size=512",
		// The least CPU is the fastest: AVX and ADX are emulated by helpers, with which RSA takes five times as long.
		"-cpu", "qemu64", "-smp", fmt.Sprint(m.Spec.CPUs), "-m", fmt.Sprint(m.Spec.Memory),
		"-nodefaults", "-no-user-config", "-display", "none",
		"-serial", "file:" + m.Console(), "-monitor", "unix:" + m.monitor() + ",server=on,wait=off",
		"-kernel", ms.Image().Kernel(), "-initrd", ms.Image().Initrd(), "-append", strings.Join(kernel, " "),
		"-drive", "file=" + m.path("disk.qcow2") + ",if=none,id=root,cache=unsafe,aio=threads,discard=unmap,detect-zeroes=unmap",
		"-device", "virtio-blk-pci,drive=root",
		"-netdev", "tap,id=net,ifname=" + m.Link() + ",script=no,downscript=no", "-device", "virtio-net-pci,netdev=net,mac=" + m.mac(),
		"-device", "virtio-rng-pci", "-rtc", "base=utc",
	}
}
