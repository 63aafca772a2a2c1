# What somebody does by hand to make a server a node, over one SSH connection: copy, unpack, start. It is the peer of
# what Drover does. Standard input is an archive with the programs of the bundle, where Drover has them, and with the
# configuration files that Drover renders; the arguments are the archive's SHA-256, the directory of the programs, the
# Node's name and the server's address.
set -eu
sha256=$1 bundle=$2 node=$3 address=$4

# Copy.
cat >/root/node.tar.gz
echo "$sha256  /root/node.tar.gz" | sha256sum --check --quiet

# Unpack.
tar -xzpf /root/node.tar.gz -C /
rm /root/node.tar.gz
mkdir -p /var/log/drover

# Prepare the kernel.
modprobe -a overlay br_netfilter nf_conntrack
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 vm.overcommit_memory=1 kernel.panic=10

# Start. The pause image is not imported, and a pod could not start yet: a Node is Ready without.
run() {
  name=$1
  shift
  systemd-run --quiet --unit="raw-$name" --slice=raw.slice --property=Delegate=yes --property=OOMScoreAdjust=-999 \
    --setenv=PATH="$bundle/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" --setenv=HOME=/root -- "$bundle/bin/$name" "$@"
}
config=/etc/drover/components state=/var/lib/drover
run containerd --config "$config/containerd.toml"
until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done
run kubelet --config="$config/kubelet.yaml" --bootstrap-kubeconfig="$state/raw-bootstrap.kubeconfig" \
  --kubeconfig="$state/kubelet.kubeconfig" --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki \
  --hostname-override="$node" --node-ip="$address"
run kube-proxy --config="$config/kube-proxy.yaml"
