# How the programs and images of a development world are built. Included by the Makefile; each target does nothing when
# it is up to date.
#
#   upstream    Kubernetes, etcd, containerd, runc, CNI plugins, CoreDNS and pause from their module sources, into $(DROVER_BIN)
#   artifacts   the node bundle, the agent's artifact and the demo images, into $(DROVER_ARTIFACTS)

GO               ?= go
LDFLAGS          ?= -s -w
DROVER_DIR       ?= .drover
DROVER_BIN       ?= $(DROVER_DIR)/bin
DROVER_ARTIFACTS ?= $(DROVER_DIR)/artifacts
DROVER_TOOLS     := $(DROVER_DIR)/tools
DROVER_STAMPS    := $(DROVER_DIR)/stamps
BIN_ABS          := $(abspath $(DROVER_BIN))

# Each version is stated once, in a go.mod.
version_in         = $(shell sed -n 's|^\t$(2) \(v[^ ]*\).*|\1|p' $(1)/go.mod)
KUBE_VERSION       := $(call version_in,hack/kube,k8s.io/kubernetes)
CONTAINERD_VERSION := $(call version_in,hack/bundle,github.com/containerd/containerd/v2)
CNI_VERSION        := $(call version_in,hack/bundle,github.com/containernetworking/plugins)
PAUSE_VERSION      := 3.10.2
KUBE_MINOR         := $(word 2,$(subst ., ,$(KUBE_VERSION)))

STATIC_BUILD := CGO_ENABLED=0 $(GO) build -trimpath
KUBE_FLAGS   := -s -w -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(KUBE_MINOR)

CONTAINERD := github.com/containerd/containerd/v2
CNI        := github.com/containernetworking/plugins

UPSTREAM_STAMPS := $(addprefix $(DROVER_STAMPS)/,controlplane node etcd containerd cni runc coredns pause)

# Sources of our own that go into artifacts; the rest is a module's version.
AGENT_SOURCES := $(shell find agent api cmd/agent -name '*.go' -not -name '*_test.go' 2>/dev/null) go.mod go.sum

.PHONY: upstream artifacts

upstream: $(UPSTREAM_STAMPS) ## Build Kubernetes, etcd, containerd, runc, CNI plugins and CoreDNS from source

artifacts: $(DROVER_STAMPS)/artifacts ## Make the node bundle, the agent's artifact and the demo images

$(DROVER_STAMPS) $(DROVER_BIN) $(DROVER_TOOLS):
	@mkdir -p $@

$(UPSTREAM_STAMPS) $(DROVER_STAMPS)/artifacts: hack/build.mk | $(DROVER_STAMPS) $(DROVER_BIN)

$(DROVER_STAMPS)/controlplane: hack/kube/go.mod hack/kube/go.sum $(wildcard hack/kube/controlplane/*.go hack/kube/multicall/*.go)
	cd hack/kube && $(STATIC_BUILD) -ldflags "$(KUBE_FLAGS)" -o $(BIN_ABS)/ ./controlplane
	cd $(DROVER_BIN) && for name in kube-apiserver kube-controller-manager kube-scheduler kubectl; do ln -sfn controlplane $$name; done
	@touch $@

$(DROVER_STAMPS)/node: hack/kube/go.mod hack/kube/go.sum $(wildcard hack/kube/node/*.go hack/kube/multicall/*.go)
	cd hack/kube && $(STATIC_BUILD) -ldflags "$(KUBE_FLAGS)" -o $(BIN_ABS)/ ./node
	cd $(DROVER_BIN) && for name in kubelet kube-proxy; do ln -sfn node $$name; done
	@touch $@

$(DROVER_STAMPS)/etcd: hack/bundle/go.mod hack/bundle/go.sum
	cd hack/bundle && $(STATIC_BUILD) -ldflags "-s -w" -o $(BIN_ABS)/etcd go.etcd.io/etcd/server/v3
	@touch $@

$(DROVER_STAMPS)/containerd: hack/bundle/go.mod hack/bundle/go.sum
	cd hack/bundle && $(STATIC_BUILD) -ldflags "-s -w -X $(CONTAINERD)/version.Version=$(CONTAINERD_VERSION)" -o $(BIN_ABS)/ $(addprefix $(CONTAINERD)/cmd/,containerd containerd-shim-runc-v2 ctr)
	@touch $@

$(DROVER_STAMPS)/cni: hack/bundle/go.mod hack/bundle/go.sum
	cd hack/bundle && $(STATIC_BUILD) -ldflags "-s -w -X $(CNI)/pkg/utils/buildversion.BuildVersion=$(CNI_VERSION)" -o $(BIN_ABS)/ $(addprefix $(CNI)/plugins/,main/bridge main/loopback ipam/host-local meta/portmap)
	@touch $@

# runc enters namespaces in C before Go starts; linked statically it runs on any distribution.
$(DROVER_STAMPS)/runc: hack/bundle/go.mod hack/bundle/go.sum
	cd hack/bundle && CGO_ENABLED=1 $(GO) build -trimpath -tags "seccomp netgo osusergo" -ldflags "-s -w -linkmode external -extldflags -static" -o $(BIN_ABS)/ github.com/opencontainers/runc
	@touch $@

$(DROVER_STAMPS)/coredns: hack/coredns/go.mod hack/coredns/go.sum $(wildcard hack/coredns/*.go)
	cd hack/coredns && $(STATIC_BUILD) -ldflags "-s -w" -o $(BIN_ABS)/ .
	@touch $@

# Upstream's own pause, whose source is in Kubernetes' module.
$(DROVER_STAMPS)/pause: hack/kube/go.mod
	$(CC) -Os -Wall -Werror -static -s -DVERSION=v$(PAUSE_VERSION) -o $(DROVER_BIN)/pause $$(cd hack/kube && $(GO) mod download k8s.io/kubernetes && $(GO) list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c
	@touch $@

$(DROVER_BIN)/drover-agent: $(AGENT_SOURCES) | $(DROVER_BIN)
	$(STATIC_BUILD) -ldflags "$(LDFLAGS)" -o $@ ./cmd/agent

$(DROVER_BIN)/hello: $(wildcard hack/images/hello/*.go) | $(DROVER_BIN)
	$(STATIC_BUILD) -ldflags "-s -w" -o $@ ./hack/images/hello

$(DROVER_TOOLS)/artifacts: $(wildcard hack/artifacts/*.go hack/artifacts/oci/*.go agent/bundle/*.go) go.mod go.sum | $(DROVER_TOOLS)
	$(STATIC_BUILD) -o $@ ./hack/artifacts

$(DROVER_STAMPS)/artifacts: $(filter-out $(DROVER_STAMPS)/controlplane $(DROVER_STAMPS)/etcd,$(UPSTREAM_STAMPS)) $(DROVER_BIN)/drover-agent $(DROVER_BIN)/hello $(DROVER_TOOLS)/artifacts
	$(DROVER_TOOLS)/artifacts build --bin $(DROVER_BIN) --out $(DROVER_ARTIFACTS) --pause-version $(PAUSE_VERSION)
	@touch $@
