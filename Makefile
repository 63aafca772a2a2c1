# `make help` lists the targets. Everything that is built or run lies under .drover/, which git ignores.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

ifneq ($(words $(CURDIR)),1)
$(error The path of this checkout has a space in it, which make does not take ($(CURDIR)): move it to a path without one)
endif

DROVER := $(CURDIR)/.drover
BIN := $(DROVER)/bin
ARTIFACTS := $(DROVER)/artifacts
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The image that dist/install.yaml runs.
IMG ?= ghcr.io/drover-dev/drover/manager:$(VERSION)

# Agents of other architectures that the image has for servers over SSH, such as arm64. None by default: each takes minutes
# to build the first time, and adds 28 MB.
AGENT_ARCHITECTURES ?=

# The same as the development world serves it, for the end-to-end tests.
E2E_IMG := 10.88.0.1:5443/images/manager:e2e

# How each part of a build is announced; drover-dev goes on from when this run of make began, in microseconds since 1970.
STEP := $(CURDIR)/hack/step.sh
export DROVER_STEPS := $(DROVER)/steps
ifndef DROVER_STARTED
export DROVER_STARTED := $(shell date +%s%6N)
endif

# One toolchain, the installed one, and no cgo: a binary runs wherever the kernel does. LDFLAGS say the version; Go need
# not ask git, which answers nobody but the checkout's owner.
export GOTOOLCHAIN := local
export GOFLAGS := -trimpath -buildvcs=false
export CGO_ENABLED := 0
LDFLAGS := -s -w -X github.com/drover-dev/drover/version.Version=$(VERSION) -X main.version=$(VERSION) -X github.com/drover-dev/drover/cmd/manager/app.version=$(VERSION)

# The programs of this module but the agent, which is an artifact, and the Debian packages that building and running them need.
PROGRAMS := $(BIN)/drover-manager $(BIN)/drover-dev $(BIN)/kubectl-drover
DEBIAN_PACKAGES := nftables iptables conntrack iproute2 libseccomp-dev pkg-config busybox-static
# What virtual machines need besides.
VM_PACKAGES := debootstrap qemu-system-x86 qemu-utils openssh-client e2fsprogs

# Targets `upstream` ($(BIN) of Kubernetes, containerd, …) and `artifacts` ($(ARTIFACTS) and its digests.json).
include hack/build.mk
# Target `vm-image`.
include hack/vm.mk
# Target `conformance`.
include hack/conformance.mk

##@ The two commands of the README

.PHONY: demo
demo: root ## Start a cluster with two worker nodes on this machine, and show them at work
	@mkdir -p $(DROVER) && echo $(DROVER_STARTED) > $(DROVER_STEPS)
	@$(MAKE) --no-print-directory deps $(BIN)/drover-dev
	@$(BIN)/drover-dev preflight
	@$(MAKE) --no-print-directory build
	@$(BIN)/drover-dev demo --after $(DROVER_STEPS)

.PHONY: demo-upgrade
demo-upgrade: root $(BIN)/drover-dev ## Beside a running demo, upgrade a pool under load, then give it a kubelet that does not work
	@$(BIN)/drover-dev running
	@$(MAKE) --no-print-directory $(STAMPS)/bundle-$(UPGRADE_FROM) KUBERNETES_VERSION=$(UPGRADE_FROM)
	@$(MAKE) --no-print-directory $(STAMPS)/faulty-exits
	@$(BIN)/drover-dev upgrade --from $(UPGRADE_FROM) --to $(KUBE_VERSION) --broken $(KUBE_VERSION)-exits

.PHONY: faults
faults: root ## Break what can break on nodes that run pods, and print what came of it (needs root)
	@$(MAKE) --no-print-directory deps $(BIN)/drover-dev
	@$(BIN)/drover-dev idle
	@$(MAKE) --no-print-directory build faulty-bundles
	@rm -f $(DROVER)/faults.txt
	@go test ./test/e2e -count=1 -timeout=20m -run='^TestNodesOfTheirOwn$$/^faults$$' || { cat $(DROVER)/faults.txt; exit 1; }
	@cat $(DROVER)/faults.txt

.PHONY: test
test: ## Run every test (needs root); none may be skipped
	@$(MAKE) --no-print-directory deps root $(BIN)/drover-dev DEBIAN_PACKAGES="$(DEBIAN_PACKAGES) $(VM_PACKAGES)"
	@$(BIN)/drover-dev idle
	@$(BIN)/drover-dev preflight
	@$(MAKE) --no-print-directory -j2 vm-image test-artifacts
	@$(MAKE) --no-print-directory test-modules

.PHONY: test-artifacts
test-artifacts:
	@$(MAKE) --no-print-directory build bundles faulty-bundles
	@$(MAKE) --no-print-directory image build-installer IMG=$(E2E_IMG)

##@ The development world

.PHONY: down
down: root $(BIN)/drover-dev ## Remove everything that `make demo` started
	@$(BIN)/drover-dev down

.PHONY: vm
vm: root $(BIN)/drover-dev ## Start a Debian virtual machine beside the running demo, and write .drover/samples/host.yaml
	@$(BIN)/drover-dev running
	@$(MAKE) --no-print-directory deps DEBIAN_PACKAGES="$(DEBIAN_PACKAGES) $(VM_PACKAGES)"
	@$(MAKE) --no-print-directory vm-image
	@$(BIN)/drover-dev vm

.PHONY: up
up: ## Start the control plane and the manager only
	@$(MAKE) --no-print-directory deps root $(BIN)/drover-dev
	@$(BIN)/drover-dev preflight
	@$(MAKE) --no-print-directory build
	@$(BIN)/drover-dev up

.PHONY: status
status: $(BIN)/drover-dev ## Say whether a demo runs, and what is on this host
	@$(BIN)/drover-dev status

# Said before anything is written.
.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "This needs root, to make namespaces, links and cgroups: run it as root (sudo make …)."; exit 1; }

.PHONY: deps
deps: ## Install the Debian packages that are missing (needs root)
	@missing=$$(for p in $(DEBIAN_PACKAGES); do dpkg-query -W -f='$${Status}' "$$p" 2>/dev/null | grep -q 'ok installed' || echo "$$p"; done | xargs); \
	if [ -n "$$missing" ]; then \
		[ "$$(id -u)" = 0 ] || { echo "These Debian packages are missing: $$missing. Install them, or run this as root (sudo make …)."; exit 1; }; \
		$(STEP) "Install the Debian packages $$missing" 'takes a minute or less' DEBIAN_FRONTEND=noninteractive \
			sh -c 'apt-get -qq update && apt-get -qq install -y --no-install-recommends "$$@"' apt $$missing \
			|| { echo "Installing them failed: run \`apt-get install $$missing\` and see why."; exit 1; }; \
	fi

##@ Building

.PHONY: build
build: upstream artifacts $(PROGRAMS) $(DROVER)/cluster-api-crds.yaml ## Build all binaries and artifacts into .drover

# Go knows best what is out of date; the directory is named after the program, drover-dev's is in hack.
.PHONY: FORCE
$(BIN)/drover-dev: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' 'takes a minute or two the first time' go build -ldflags '$(LDFLAGS)' -o $@ ./hack/dev
$(BIN)/drover-vm: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' '' go build -ldflags '$(LDFLAGS)' -o $@ ./hack/vm
$(BIN)/drover-bench: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' '' go build -ldflags '$(LDFLAGS)' -o $@ ./hack/bench
$(BIN)/drover-traces: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' '' go build -ldflags '$(LDFLAGS)' -o $@ ./hack/traces
# Without the trace of requests that gRPC can show on a page of HTML, whose templates keep a fifth of the program in it.
AGENT_BUILD = go build -tags grpcnotrace -ldflags '$(LDFLAGS)' -o $@ ./cmd/agent
$(BIN)/drover-agent: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' '' $(AGENT_BUILD)
$(BIN)/drover-agent-%: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' 'takes minutes the first time' env GOARCH=$* $(AGENT_BUILD)
$(BIN)/drover-%: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' '' go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/$*
$(BIN)/kubectl-drover: FORCE
	@mkdir -p $(BIN) && $(STEP) 'Build $(@F)' '' go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/kubectl-drover
$(DROVER)/cluster-api-crds.yaml: go.mod $(wildcard hack/clusterapi/*.go hack/clusterapi/*/*.go)
	@mkdir -p $(@D) && $(STEP) "Collect Cluster API's kinds" '' sh -c 'go run ./hack/clusterapi > $@.tmp' && mv $@.tmp $@

.PHONY: build-installer
build-installer: $(BIN)/kustomize $(DROVER)/cluster-api-crds.yaml ## Make dist/install.yaml and dist/cluster-api-crds.yaml
	@mkdir -p dist $(DROVER)/installer
	@printf 'resources: [../../config/default]\nimages: [{name: ghcr.io/drover-dev/drover/manager, newName: "%s", %s}]\n' \
		"$(firstword $(subst @, ,$(call repository,$(IMG))))" "$(call reference,$(IMG))" > $(DROVER)/installer/kustomization.yaml
	@$(BIN)/kustomize build $(DROVER)/installer > dist/install.yaml
	@cp $(DROVER)/cluster-api-crds.yaml dist/cluster-api-crds.yaml
	@echo "dist/install.yaml runs $(IMG); apply dist/cluster-api-crds.yaml before it."

# An image's name without its tag or digest, and that tag or digest as kustomize spells it. A registry may have a port.
repository = $(shell sed -E 's/(@sha256:[0-9a-f]+|:[^:/]+)$$//' <<< '$(1)')
reference = $(shell sed -nE 's/^.*@(sha256:[0-9a-f]+)$$/digest: "\1"/p; t; s/^.*:([^:/]+)$$/newTag: "\1"/p' <<< '$(1)')

##@ Generating and checking

.PHONY: generate
generate: $(BIN)/controller-gen ## Generate deep copies of the API's types
	@$(BIN)/controller-gen object paths=./api/...

.PHONY: manifests
manifests: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## Generate the kinds, the manager's role and the API reference
	@$(BIN)/controller-gen crd paths=./api/... output:crd:dir=config/crd
	@$(BIN)/controller-gen rbac:roleName=drover-manager paths=./controllers/... paths=./cmd/manager/... output:rbac:dir=config/rbac
	@mkdir -p docs/reference
	@$(BIN)/crd-ref-docs --config=hack/tools/crd-ref-docs.yaml --source-path=api/v1alpha1 --renderer=markdown --output-path=docs/reference/api.md --log-level=WARN

.PHONY: lint
lint: lint-tools lint-project ## Run the linters
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); [ -z "$$unformatted" ] || { echo "Not formatted (gofmt -w): $$unformatted"; exit 1; }
	@$(BIN)/golangci-lint run --allow-parallel-runners ./...
	@$(BIN)/golangci-lint-kube-api-linter run --allow-parallel-runners --config=.golangci-kal.yml ./api/...
	@for dir in luavm gitops gitopsengine; do (cd test/$$dir && $(BIN)/golangci-lint run --allow-parallel-runners ./...) || exit 1; done
	@for dir in argocd default dev prometheus bound-secrets; do $(BIN)/kustomize build config/$$dir >/dev/null; done

.PHONY: lint-tools
lint-tools: $(addprefix $(BIN)/,golangci-lint golangci-lint-kube-api-linter kustomize kubebuilder)

# kubebuilder drops from PROJECT what it does not know, and wants a Dockerfile before it writes anything.
.PHONY: lint-project
lint-project: lint-tools
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cp PROJECT "$$dir" && touch "$$dir/Dockerfile"; \
	(cd "$$dir" && $(BIN)/kubebuilder edit --multigroup=false >out 2>&1) || { tail -n 1 "$$dir/out"; exit 1; }; \
	diff -u --label 'PROJECT as kubebuilder writes it' --label PROJECT "$$dir/PROJECT" PROJECT
	@kinds() { sed -n "s/^$$1//p" "$${@:2}" | sort; }; \
	diff <(kinds '    kind: ' config/crd/fleet.*.yaml) <(kinds '  kind: ' PROJECT) || { echo "PROJECT does not list the kinds of config/crd."; exit 1; }

.PHONY: vet
vet: ## Run go vet over every module
	@for dir in $(MODULES); do (cd $$dir && go vet ./...); done

# Every module but the tools' has code of ours.
MODULES = $(or $(filter-out hack/tools,$(patsubst %/,%,$(dir $(shell git ls-files -co --exclude-standard 'go.mod' '*/go.mod')))),\
	$(error The modules to test are unknown, as git does not list the files of this checkout: run `git status` and mend what it says))
RESULTS := $(DROVER)/test-results

.PHONY: test-modules
test-modules: $(BIN)/gotestsum $(BIN)/drover-traces
	@hack/test.sh $(BIN) $(RESULTS) $(MODULES)

# Weeks: first-last, or one. With one week, the numbers of the events that happen in it, as a failure prints them.
SEEDS ?= 1-10000
EVENTS ?=

.PHONY: sim
sim: ## Simulate weeks of a pool, as SEEDS=1-10000 (see docs/simulation.md)
	@go test ./test/sim -count=1 -timeout=0 -run='^TestPoolDays$$' -sim.seeds='$(SEEDS)' -sim.events='$(EVENTS)'

.PHONY: bench
bench: ## Measure speed and memory against the raw components, and print the table
	@$(MAKE) --no-print-directory deps root $(BIN)/drover-dev DEBIAN_PACKAGES="$(DEBIAN_PACKAGES) $(VM_PACKAGES)"
	@$(BIN)/drover-dev idle
	@$(MAKE) --no-print-directory build bundles $(STAMPS)/faulty-exits vm-image $(BIN)/drover-bench
	@$(BIN)/drover-bench --patch-from=$(UPGRADE_FROM) --minor-from=$(MINOR_FROM) --broken=$(KUBE_VERSION)-exits $(BENCH_FLAGS)

# Tools are built once for each version of hack/tools.
tool = $(BIN)/$(1): hack/tools/go.mod hack/tools/go.sum ; @mkdir -p $$(@D) && cd hack/tools && $(STEP) 'Build the tool $(1)' '' go build -ldflags '-s -w' -o $$@ $(2) && touch $$@
$(eval $(call tool,controller-gen,sigs.k8s.io/controller-tools/cmd/controller-gen))
$(eval $(call tool,kustomize,sigs.k8s.io/kustomize/kustomize/v5))
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,golangci-lint-kube-api-linter,sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter))
$(eval $(call tool,crd-ref-docs,github.com/elastic/crd-ref-docs))
$(eval $(call tool,gotestsum,gotest.tools/gotestsum))
$(eval $(call tool,kubebuilder,sigs.k8s.io/kubebuilder/v4))

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*##"; print "Usage: make TARGET"} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*##/ {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
