# Takes back what rawserver.sh did, so that the next one finds the server as that did. No pod ran.
set -u
systemctl stop raw-kube-proxy raw-kubelet raw-containerd
systemctl reset-failed 'raw-*' 2>/dev/null
systemctl stop kubepods.slice raw.slice 2>/dev/null
for mount in $(awk '$2 ~ "^/(var/lib/(kubelet|containerd)|run/containerd)/" { print $2 }' /proc/mounts | sort -r); do umount "$mount"; done
for family in ip ip6; do nft delete table $family kube-proxy 2>/dev/null; done
rm -rf --one-file-system /root/node.tar.gz /etc/drover /etc/cni /opt/cni /usr/libexec/kubernetes /etc/systemd/logind.conf.d \
  /var/lib/drover /var/lib/kubelet /var/lib/containerd /var/lib/cni /run/containerd /run/nri /run/drover \
  /var/log/drover /var/log/pods /var/log/containers
systemctl try-reload-or-restart systemd-logind
sync
true
