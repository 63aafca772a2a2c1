package world

import (
	"fmt"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
)

// The processes of the world.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Manager           = "drover-manager"
	Routes            = "drover-routes"
)

// controlPlane are those that cannot be started again beside the others, in the order they are started.
func controlPlane() []string { return []string{Etcd, APIServer, ControllerManager, Scheduler} }

// restartable is true of a process that can be started again beside the others.
func restartable(name string) bool { return name == Manager || name == Routes }

// Binaries are the files that must have been built before the world starts.
func Binaries(l layout.Layout) []string {
	files := []string{l.ClusterAPI(), l.Digests(), l.Bin("drover-agent"), l.Bin("kubectl"), l.Bin("kubectl-drover")}
	for _, name := range append(controlPlane(), Manager) {
		files = append(files, l.Bin(name))
	}
	return files
}

// command is how a process of the world is started.
func command(l layout.Layout, name string) process.Command {
	args := map[string][]string{
		Etcd:              etcdArgs(l),
		APIServer:         apiServerArgs(l),
		ControllerManager: controllerManagerArgs(l),
		Scheduler:         schedulerArgs(l),
		Manager:           managerArgs(l),
		Routes:            routesArgs(l),
	}
	return process.Command{World: l.Root(), Name: name, Path: program(l, name), Args: args[name], Log: l.Logs(name)}
}

// program is the file that a process runs.
func program(l layout.Layout, name string) string {
	if name == Routes {
		return l.Bin("drover-agent")
	}
	return l.Bin(name)
}

// Nothing in a development world is worth the time that fsync takes. Who reaches etcd is root in the cluster, and with
// local machines on the host: it answers the API server alone, not every user of the host and every page in a browser.
func etcdArgs(l layout.Layout) []string {
	client := fmt.Sprintf("https://127.0.0.1:%d", layout.EtcdPort)
	peer := fmt.Sprintf("https://127.0.0.1:%d", layout.EtcdPeerPort)
	cert, key, ca := l.EtcdPKI("server.crt"), l.EtcdPKI("server.key"), l.EtcdPKI("ca.crt")
	return []string{
		"--cert-file=" + cert, "--key-file=" + key, "--trusted-ca-file=" + ca, "--client-cert-auth",
		"--peer-cert-file=" + cert, "--peer-key-file=" + key, "--peer-trusted-ca-file=" + ca, "--peer-client-cert-auth",
		"--name=drover", "--data-dir=" + l.Etcd(), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=drover=" + peer,
	}
}

// Services are reached by their pods, to which the host has routes: it has no kube-proxy.
func apiServerArgs(l layout.Layout) []string {
	return []string{
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", layout.EtcdPort),
		"--etcd-cafile=" + l.EtcdPKI("ca.crt"), "--etcd-certfile=" + l.EtcdPKI("client.crt"), "--etcd-keyfile=" + l.EtcdPKI("client.key"),
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
		"--advertise-address=" + layout.HostAddress,
		fmt.Sprintf("--secure-port=%d", layout.APIServerPort),
		"--tls-cert-file=" + l.PKI("apiserver.crt"), "--tls-private-key-file=" + l.PKI("apiserver.key"),
		"--client-ca-file=" + l.PKI("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc." + layout.DNSDomain,
		"--service-account-key-file=" + l.PKI("sa.pub"), "--service-account-signing-key-file=" + l.PKI("sa.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--enable-bootstrap-token-auth", "--allow-privileged",
		"--kubelet-client-certificate=" + l.PKI("apiserver-kubelet.crt"), "--kubelet-client-key=" + l.PKI("apiserver-kubelet.key"),
		"--kubelet-certificate-authority=" + l.PKI("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP", "--enable-aggregator-routing",
		"--proxy-client-cert-file=" + l.FrontProxyPKI("client.crt"), "--proxy-client-key-file=" + l.FrontProxyPKI("client.key"),
		"--requestheader-client-ca-file=" + l.FrontProxyPKI("ca.crt"), "--requestheader-allowed-names=" + frontProxyUser,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
	}
}

// The controller switched on beside the usual ones removes expired join tokens.
func controllerManagerArgs(l layout.Layout) []string {
	kubeconfig := l.PKI("controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false",
		"--controllers=*,token-cleaner-controller",
		"--use-service-account-credentials", "--service-account-private-key-file=" + l.PKI("sa.key"), "--root-ca-file=" + l.PKI("ca.crt"),
		"--cluster-signing-cert-file=" + l.PKI("ca.crt"), "--cluster-signing-key-file=" + l.PKI("ca.key"),
		"--allocate-node-cidrs", "--cluster-cidr=" + layout.PodCIDR, "--node-cidr-mask-size=24",
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
	}
}

func schedulerArgs(l layout.Layout) []string {
	kubeconfig := l.PKI("scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", "--leader-elect=false",
	}
}

func managerArgs(l layout.Layout) []string {
	return []string{
		"--kubeconfig=" + l.PKI("manager.kubeconfig"),
		fmt.Sprintf("--metrics-bind-address=:%d", layout.ManagerMetricsPort),
		fmt.Sprintf("--health-probe-bind-address=:%d", layout.ManagerProbePort),
		"--local-root=" + l.Machines(), "--agent-binary=" + l.Bin("drover-agent"), "--shared-bundles=" + l.Bundles(),
		"--artifact-root=" + l.Artifacts(), "--artifact-bind-address=" + layout.Artifacts,
		"--artifact-cert-file=" + l.PKI("artifacts.crt"), "--artifact-key-file=" + l.PKI("artifacts.key"),
		"--api-server-url=" + layout.APIServer,
		"--cluster-dns=" + layout.DNSAddress, "--cluster-domain=" + layout.DNSDomain,
		"--service-cidrs=" + layout.ServiceCIDR, "--pod-cidrs=" + layout.PodCIDR,
	}
}

func routesArgs(l layout.Layout) []string {
	return []string{
		"routes", "--kubeconfig=" + l.PKI("routes.kubeconfig"), "--pod-cidr=" + layout.PodCIDR, "--service-cidr=" + layout.ServiceCIDR,
		fmt.Sprintf("--health-bind-address=127.0.0.1:%d", layout.RoutesProbePort),
	}
}
