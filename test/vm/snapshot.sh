# Lists what a machine holds of the kinds of things that software leaves, one line each, to be compared with another time's.
# What Debian's own services write while nobody does anything is left out, and so are times.
set -eu
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Every file and folder of the disk and of /run, those of units and the links that enable them included: its kind, mode, owner by
# number (their names take the emulated machine five times as long) and where it leads; of Debian's programs the size; of
# what software and administrators own, the content as well. Of the list of accounts, there is a copy of before the last change.
# sudo notes in a home that its user has been root once.
find / /run -xdev \( \
	-path /proc -o -path /sys -o -path /dev -o -path /run/systemd -o -path /run/udev -o -path /run/user -o -path /run/log \
	-o -path /run/credentials -o -path /run/sudo -o -path /run/utmp -o -path /run/motd.dynamic -o -path /run/blkid -o -path /run/mount \
	-o -path /var/log/journal -o -path /var/log/lastlog -o -path /var/log/wtmp -o -path /var/log/btmp -o -path /var/lib/systemd \
	-o -path '/tmp/systemd-private-*' -o -path '/var/tmp/systemd-private-*' -o -path /var/lib/sudo -o -name .sudo_as_admin_successful \
	\) -prune -o \( -type f \( -path '/usr/*' -o -path '/var/lib/dpkg/*' \) -printf 'file %p %y %m %U:%G %l%s\n' -o -printf 'file %p %y %m %U:%G %l\n' \)
find /etc /root /home /opt /usr/local /boot -xdev -type f -not -name .sudo_as_admin_successful -not -path '/etc/passwd-' -not -path '/etc/group-' -not -path '/etc/*shadow-' -exec sha256sum {} + | sed 's/^/content /'
# Units that are made while systemd runs, and its drop-ins.
find /run/systemd/system /run/systemd/network /run/systemd/transient -mindepth 1 -not -name 'session-*.scope*' -printf 'file %p %l\n' 2>/dev/null || true

# binfmt_misc is mounted for whoever looks at it first.
systemctl list-units --all --plain --no-legend --no-pager --type=service,socket,timer,mount,slice,path | awk '$1 !~ /binfmt_misc|^user-|^user@|^user-runtime-dir@|^run-user-/ && $2 == "loaded" {print "unit", $1, ($1 ~ /timer$|slice$|mount$|socket$/ ? $3 : "")}'

findmnt --noheadings --raw --output TARGET,FSTYPE,SOURCE | grep -v '^/run/user/\|binfmt_misc' | sed 's/^/mount /'
ip -o link show | awk '{sub(/@.*/, "", $2); sub(/:$/, "", $2); print "link", $2}'
ip -o address show | awk '{print "address", $2, $4}'
for family in -4 -6; do ip $family route show table all | sed "s/^/route $family /; s/ expires .*//"; ip $family rule show | sed "s/^/rule $family /"; done
ip netns list | sed 's/^/network namespace /'
nft list ruleset | sed 's/^/nftables /; s/packets [0-9]* bytes [0-9]*//'
sysctl --all 2>/dev/null | grep -Ev '^(fs\.(quota\.|dentry-state|file-nr|inode-nr|inode-state)|kernel\.(random\.|ns_last_pid|pty\.nr|core_modes)|net\.netfilter\.nf_conntrack_count|net\.ipv4\.tcp_fastopen_key|vm\.(stat_refresh|user_reserve_kbytes|admin_reserve_kbytes))' | sed 's/^/sysctl /' || true
find /sys/fs/cgroup -maxdepth 2 -type d -not -path '*/user.slice/*' -not -name '*.service' -printf 'cgroup %p\n'
# Whatever is the kernel's own has no arguments. Who logs in is not counted.
ps -eo pid=,ppid=,comm= | awk '$1 != 2 && $2 != 2 && $3 !~ /^(sshd|bash|sh|ps|awk|find|systemd-hostnam|systemd-localed|systemd-timedat|systemd|\(sd-pam\)|agetty|\(udev-worker\))$/ {print "process", $3}'
