# Upstream's conformance tests against a running demo; docs/conformance.md tells more. Included by the Makefile.

# What the tests' stand-in images are made of, beside what the demo needs.
CONFORMANCE_PACKAGES := bind9-dnsutils curl netcat-openbsd
# Which tests: a label filter of ginkgo's, and a regular expression over names. Where: a node's name or a selector of labels.
LABELS ?= NodeConformance && !Slow
FOCUS  ?=
NODE   ?=

# The tests are of the version of the nodes that they are for, KUBERNETES_VERSION; other versions' are kept beside them.
CONFORMANCE := $(STAMPS)/conformance-$(KUBERNETES_VERSION)
made_conformance-$(KUBERNETES_VERSION) := $(addprefix $(KUBE)/,conformance.test ginkgo)
$(if $(call missing,$(made_conformance-$(KUBERNETES_VERSION))),$(eval $(CONFORMANCE): FORCE))

KUBE_MODULE = $(shell cd hack/kube && go list -modfile=$(KUBE_MOD) -m -f '{{.Dir}}' k8s.io/kubernetes)

.PHONY: conformance
conformance: ## Run upstream's conformance tests against the running demo (LABELS=, FOCUS=, NODE=, KUBERNETES_VERSION=)
	@$(MAKE) --no-print-directory deps DEBIAN_PACKAGES="$(DEBIAN_PACKAGES) $(CONFORMANCE_PACKAGES)"
	@$(MAKE) --no-print-directory $(CONFORMANCE) $(TOOLS)/conformance KUBERNETES_VERSION=$(KUBERNETES_VERSION)
	@GOFLAGS='$(GOFLAGS) -modfile=$(KUBE_MOD)' $(TOOLS)/conformance run --labels '$(LABELS)' --focus '$(FOCUS)' --node '$(NODE)' --suite $(KUBE)/conformance.test --ginkgo $(KUBE)/ginkgo

$(CONFORMANCE): hack/kube/$(KUBE_MOD) hack/kube/$(KUBE_MOD:.mod=.sum) $(wildcard hack/kube/conformance/*.go) hack/conformance.mk $(STAMPS)/etcd $(STAMPS)/pause $(TOOLS)/conformance | $(STAMPS) $(BIN)
	@mkdir -p $(KUBE) && ln -sfn $(BIN)/etcd $(BIN)/pause $(KUBE)/
	@cd hack/kube && $(STEP) "Build upstream's conformance tests $(KUBERNETES_VERSION)" 'takes minutes the first time' $(STATIC_BUILD) -modfile=$(KUBE_MOD) -tags conformance -ldflags "$(call kube_flags,$(KUBERNETES_VERSION))" -o $(KUBE)/conformance.test ./conformance
	@cd hack/kube && $(STEP) 'Build ginkgo and the images of the tests' '' $(STATIC_BUILD) -modfile=$(KUBE_MOD) -ldflags "-s -w" -o $(KUBE)/ github.com/onsi/ginkgo/v2/ginkgo k8s.io/sample-apiserver $(addprefix k8s.io/kubernetes/test/images/,agnhost nonewprivs)
	@$(KUBE)/conformance.test --needed-images > $(KUBE)/conformance-images
	@$(STEP) 'Make the images of the tests' '' $(TOOLS)/conformance images --names $(KUBE)/conformance-images --kubernetes $(KUBE_MODULE) --bin $(KUBE) --out $(ARTIFACTS)/images/conformance
	@touch $@

# Its own sources and what it makes images with; Go knows the rest.
$(TOOLS)/conformance: $(wildcard hack/conformance/*.go hack/conformance/images/*.go hack/conformance/known.yaml hack/artifacts/oci/*.go hack/dev/layout/*.go) go.mod go.sum | $(TOOLS)
	@$(STEP) 'Build what runs the conformance tests' '' $(STATIC_BUILD) -o $@ ./hack/conformance
