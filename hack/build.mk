# How the programs and images of a development world are built. Included by the Makefile, which builds Drover's own
# programs; each target does nothing when it is up to date.

DROVER    ?= $(CURDIR)/.drover
BIN       ?= $(DROVER)/bin
ARTIFACTS ?= $(DROVER)/artifacts
LDFLAGS   ?= -s -w
STAMPS    := $(DROVER)/stamps
TOOLS     := $(DROVER)/tools

# Each version is stated once, in a go.mod. hack/kube/pin.sh adds one of Kubernetes.
version_in         = $(shell sed -n 's|^\t$(2) \(v[^ ]*\).*|\1|p' $(1)/go.mod)
KUBE_VERSION       := $(call version_in,hack/kube,k8s.io/kubernetes)
CONTAINERD_VERSION := $(call version_in,hack/bundle,github.com/containerd/containerd/v2)
CNI_VERSION        := $(call version_in,hack/bundle,github.com/containernetworking/plugins)
PAUSE_VERSION      := 3.10.2

# The control plane and the default bundle are of one version of Kubernetes. Nodes of another can run beside it: its kubelet
# and kube-proxy are built when asked for, and containerd, runc, the CNI plugins and pause are the same in each bundle.
KUBE_VERSIONS      := $(KUBE_VERSION) $(patsubst hack/kube/versions/%.mod,%,$(wildcard hack/kube/versions/v*.mod))
KUBERNETES_VERSION ?= $(KUBE_VERSION)
# What `make demo-upgrade` begins with, and `make bench` as well, which has a node of another minor version too.
UPGRADE_FROM := v1.37.1
MINOR_FROM := v1.36.5
ifeq ($(filter $(KUBERNETES_VERSION),$(KUBE_VERSIONS)),)
$(error KUBERNETES_VERSION=$(KUBERNETES_VERSION) is none of $(KUBE_VERSIONS): `hack/kube/pin.sh VERSION` adds another)
endif
OTHER_VERSION := $(filter-out $(KUBE_VERSION),$(KUBERNETES_VERSION))
# Where its programs are that are not in $(BIN), and what they are built from.
KUBE     := $(DROVER)/kube/$(KUBERNETES_VERSION)
KUBE_MOD := $(if $(OTHER_VERSION),versions/$(OTHER_VERSION).mod,go.mod)

# Without the state of this repository in them, programs change only when their sources do.
GO_BUILD     := go build -trimpath -buildvcs=false
STATIC_BUILD := CGO_ENABLED=0 $(GO_BUILD)
kube_flags    = -s -w -X k8s.io/component-base/version.gitVersion=$(1) -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(1)))

CONTAINERD := github.com/containerd/containerd/v2
CNI        := github.com/containernetworking/plugins

UPSTREAM_STAMPS := $(addprefix $(STAMPS)/,controlplane node etcd containerd cni runc coredns pause)
BUNDLE          := $(STAMPS)/bundle-$(KUBERNETES_VERSION)
OTHER_NODE      := $(addprefix $(STAMPS)/node-,$(OTHER_VERSION))
STAMPED         := $(UPSTREAM_STAMPS) $(OTHER_NODE) $(BUNDLE) $(STAMPS)/artifacts

# Sources of our own that go into artifacts; the rest is a module's version.
AGENT_SOURCES := $(shell find agent api cmd/agent -name '*.go' -not -name '*_test.go' 2>/dev/null) go.mod go.sum

.PHONY: upstream artifacts bundle bundles

##@ Building from upstreams' sources

upstream: $(UPSTREAM_STAMPS) ## Build Kubernetes, etcd, containerd, runc, CNI plugins and CoreDNS from source

artifacts: $(STAMPS)/artifacts ## Make the node bundle, the agent's artifact and the demo images

NODE_BUNDLE := $(DROVER)/samples/nodebundle-$(KUBERNETES_VERSION).yaml

bundle: $(BUNDLE) ## Make a bundle of another version beside it (KUBERNETES_VERSION=), and show the NodeBundle to apply
	@echo "# $(NODE_BUNDLE:$(CURDIR)/%=%)" && cat $(NODE_BUNDLE)

bundles: artifacts ## Make a bundle of each version in hack/kube
	@for version in $(KUBE_VERSIONS); do $(MAKE) --no-print-directory $(STAMPS)/bundle-$$version KUBERNETES_VERSION=$$version; done

# Bundles whose kubelet does not work, each in another way, for whoever tries what a node does with one.
FAULTS := exits hangs errs dies
FAULTY := $(FAULTS:%=$(STAMPS)/faulty-%)

.PHONY: faulty-bundles
faulty-bundles: $(FAULTY)

$(FAULTY): $(STAMPS)/faulty-%: hack/faults/kubelet/main.go $(STAMPS)/artifacts $(TOOLS)/artifacts hack/build.mk
	@$(STEP) 'Make a node bundle whose kubelet $*' '' $(STATIC_BUILD) -ldflags "-s -w -X main.way=$*" -o $(TOOLS)/kubelet-$* ./hack/faults/kubelet
	@$(TOOLS)/artifacts bundle --bin $(BIN) --kubelet $(TOOLS)/kubelet-$* --version $(KUBE_VERSION)-$* --out $(ARTIFACTS) --samples $(DROVER)/samples --pause-version $(PAUSE_VERSION)
	@touch $@

$(STAMPS) $(BIN) $(TOOLS):
	@mkdir -p $@

$(STAMPED): hack/build.mk | $(STAMPS) $(BIN)

# What each stamp stands for. One of which something is missing does not count.
CONTROL_PLANE_PROGRAMS := kube-apiserver kube-controller-manager kube-scheduler kubectl
NODE_PROGRAMS := kubelet kube-proxy
made_controlplane := $(addprefix $(BIN)/,controlplane $(CONTROL_PLANE_PROGRAMS))
made_node := $(addprefix $(BIN)/,node $(NODE_PROGRAMS))
made_containerd := $(addprefix $(BIN)/,containerd containerd-shim-runc-v2 ctr)
made_cni := $(addprefix $(BIN)/,bridge loopback host-local portmap)
made_artifacts := $(ARTIFACTS)/digests.json
made_bundle-$(KUBERNETES_VERSION) := $(NODE_BUNDLE) $(ARTIFACTS)/bundles/kubernetes/index.json
made_node-$(OTHER_VERSION) := $(addprefix $(KUBE)/,node $(NODE_PROGRAMS))
$(foreach one,etcd runc coredns pause,$(eval made_$(one) := $(BIN)/$(one)))

missing = $(filter-out $(wildcard $(1)),$(1))
$(foreach stamp,$(STAMPED),$(if $(call missing,$(made_$(notdir $(stamp)))),$(eval $(stamp): FORCE)))
.PHONY: FORCE

$(STAMPS)/controlplane: hack/kube/go.mod hack/kube/go.sum $(wildcard hack/kube/controlplane/*.go hack/kube/multicall/*.go)
	@cd hack/kube && $(STEP) "Build Kubernetes' control plane" 'takes minutes the first time' $(STATIC_BUILD) -ldflags "$(call kube_flags,$(KUBE_VERSION))" -o $(BIN)/ ./controlplane
	@cd $(BIN) && for name in $(CONTROL_PLANE_PROGRAMS); do ln -sfn controlplane $$name; done
	@touch $@

$(STAMPS)/node: hack/kube/go.mod hack/kube/go.sum $(wildcard hack/kube/node/*.go hack/kube/multicall/*.go)
	@cd hack/kube && $(STEP) 'Build kubelet and kube-proxy' 'takes minutes the first time' $(STATIC_BUILD) -ldflags "$(call kube_flags,$(KUBE_VERSION))" -o $(BIN)/ ./node
	@cd $(BIN) && for name in $(NODE_PROGRAMS); do ln -sfn node $$name; done
	@touch $@

$(OTHER_NODE): $(addprefix hack/kube/versions/$(OTHER_VERSION),.mod .sum) $(wildcard hack/kube/node/*.go hack/kube/multicall/*.go)
	@mkdir -p $(KUBE)
	@cd hack/kube && $(STEP) 'Build kubelet and kube-proxy $(OTHER_VERSION)' 'takes minutes the first time' $(STATIC_BUILD) -modfile=$(KUBE_MOD) -ldflags "$(call kube_flags,$(OTHER_VERSION))" -o $(KUBE)/ ./node
	@cd $(KUBE) && for name in $(NODE_PROGRAMS); do ln -sfn node $$name; done
	@touch $@

$(STAMPS)/etcd: hack/bundle/go.mod hack/bundle/go.sum
	@cd hack/bundle && $(STEP) 'Build etcd' '' $(STATIC_BUILD) -ldflags "-s -w" -o $(BIN)/etcd go.etcd.io/etcd/server/v3
	@touch $@

$(STAMPS)/containerd: hack/bundle/go.mod hack/bundle/go.sum
	@cd hack/bundle && $(STEP) 'Build containerd' '' $(STATIC_BUILD) -ldflags "-s -w -X $(CONTAINERD)/version.Version=$(CONTAINERD_VERSION)" -o $(BIN)/ $(addprefix $(CONTAINERD)/cmd/,containerd containerd-shim-runc-v2 ctr)
	@touch $@

$(STAMPS)/cni: hack/bundle/go.mod hack/bundle/go.sum
	@cd hack/bundle && $(STEP) 'Build the CNI plugins' '' $(STATIC_BUILD) -ldflags "-s -w -X $(CNI)/pkg/utils/buildversion.BuildVersion=$(CNI_VERSION)" -o $(BIN)/ $(addprefix $(CNI)/plugins/,main/bridge main/loopback ipam/host-local meta/portmap)
	@touch $@

# runc enters namespaces in C before Go starts; linked statically it runs on any distribution.
$(STAMPS)/runc: hack/bundle/go.mod hack/bundle/go.sum
	@cd hack/bundle && $(STEP) 'Build runc' '' CGO_ENABLED=1 $(GO_BUILD) -tags "seccomp netgo osusergo" -ldflags "-s -w -linkmode external -extldflags -static" -o $(BIN)/ github.com/opencontainers/runc
	@touch $@

$(STAMPS)/coredns: hack/coredns/go.mod hack/coredns/go.sum $(wildcard hack/coredns/*.go)
	@cd hack/coredns && $(STEP) 'Build CoreDNS' '' $(STATIC_BUILD) -ldflags "-s -w" -o $(BIN)/ .
	@touch $@

# Upstream's own pause, whose source is in Kubernetes' module.
$(STAMPS)/pause: hack/kube/go.mod
	@cd hack/kube && $(STEP) "Fetch Kubernetes' sources" '' go mod download k8s.io/kubernetes
	@$(CC) -Os -Wall -Werror -static -s -DVERSION=v$(PAUSE_VERSION) -o $(BIN)/pause $$(cd hack/kube && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c
	@touch $@

$(BIN)/hello: $(wildcard hack/images/hello/*.go) | $(BIN)
	@$(STEP) 'Build hello' '' $(STATIC_BUILD) -ldflags "-s -w" -o $@ ./hack/images/hello

$(TOOLS)/artifacts: $(wildcard hack/artifacts/*.go hack/artifacts/oci/*.go hack/dev/layout/*.go agent/bundle/*.go api/v1alpha1/*.go) go.mod go.sum | $(TOOLS)
	@$(STEP) 'Build the maker of artifacts' '' $(STATIC_BUILD) -o $@ ./hack/artifacts

# The agent is an order-only prerequisite, as Go touches what it finds up to date.
$(STAMPS)/artifacts: $(filter-out %/controlplane %/etcd,$(UPSTREAM_STAMPS)) $(AGENT_SOURCES) $(BIN)/hello $(TOOLS)/artifacts | $(BIN)/drover-agent
	@$(STEP) 'Make the node bundle and the images' '' $(TOOLS)/artifacts build --bin $(BIN) --out $(ARTIFACTS) --pause-version $(PAUSE_VERSION)
	@touch $@

# Of the default version, it is the one that is among the artifacts.
$(BUNDLE): $(or $(OTHER_NODE),$(STAMPS)/artifacts) $(addprefix $(STAMPS)/,containerd cni runc pause) $(TOOLS)/artifacts
	@$(STEP) 'Make the node bundle $(KUBERNETES_VERSION)' '' $(TOOLS)/artifacts bundle --bin $(BIN) --kubernetes $(if $(OTHER_VERSION),$(KUBE),$(BIN)) --out $(ARTIFACTS) --samples $(dir $(NODE_BUNDLE)) --pause-version $(PAUSE_VERSION)
	@touch $@

.PHONY: image
image: $(BIN)/drover-manager $(BIN)/drover-agent $(AGENT_ARCHITECTURES:%=$(BIN)/drover-agent-%) $(TOOLS)/artifacts ## Make the manager's image: served from .drover/artifacts, and as dist/manager.tar
	@$(TOOLS)/artifacts image --out $(ARTIFACTS) --repository images/manager --name $(IMG) --archive dist/manager.tar \
		--file $(BIN)/drover-manager=/drover-manager --file $(BIN)/drover-agent=/drover-agent \
		$(foreach a,$(AGENT_ARCHITECTURES),--file $(BIN)/drover-agent-$(a)=/drover-agent-$(a)) --entrypoint /drover-manager --user 65532:65532
