# Upstream's conformance tests against a running demo; docs/conformance.md tells more. Included by the Makefile.

# What the tests' stand-in images are made of, beside what the demo needs.
CONFORMANCE_PACKAGES := bind9-dnsutils curl netcat-openbsd
# Which tests: a label filter of ginkgo's, and a regular expression over names. Where: a node's name or a selector of labels.
LABELS ?= NodeConformance && !Slow
FOCUS  ?=
NODE   ?=

KUBE_MODULE = $(shell cd hack/kube && go list -m -f '{{.Dir}}' k8s.io/kubernetes)

.PHONY: conformance
conformance: ## Run upstream's conformance tests against the running demo (LABELS=, FOCUS=, NODE=)
	@$(MAKE) --no-print-directory deps DEBIAN_PACKAGES="$(DEBIAN_PACKAGES) $(CONFORMANCE_PACKAGES)"
	@$(MAKE) --no-print-directory $(STAMPS)/conformance $(TOOLS)/conformance
	@$(TOOLS)/conformance run --labels '$(LABELS)' --focus '$(FOCUS)' --node '$(NODE)'

$(STAMPS)/conformance: hack/kube/go.mod hack/kube/go.sum $(wildcard hack/kube/conformance/*.go) hack/conformance.mk $(STAMPS)/etcd $(STAMPS)/pause $(TOOLS)/conformance | $(STAMPS) $(BIN)
	@cd hack/kube && $(STEP) "Build upstream's conformance tests" 'takes minutes the first time' $(STATIC_BUILD) -tags conformance -ldflags "$(KUBE_FLAGS)" -o $(BIN)/conformance.test ./conformance
	@cd hack/kube && $(STEP) 'Build ginkgo and the images of the tests' '' $(STATIC_BUILD) -ldflags "-s -w" -o $(BIN)/ github.com/onsi/ginkgo/v2/ginkgo k8s.io/sample-apiserver $(addprefix k8s.io/kubernetes/test/images/,agnhost nonewprivs)
	@$(BIN)/conformance.test --needed-images > $(DROVER)/conformance-images
	@$(STEP) 'Make the images of the tests' '' $(TOOLS)/conformance images --names $(DROVER)/conformance-images --kubernetes $(KUBE_MODULE) --bin $(BIN) --out $(ARTIFACTS)/images/conformance
	@touch $@

# Its own sources and what it makes images with; Go knows the rest.
$(TOOLS)/conformance: $(wildcard hack/conformance/*.go hack/conformance/images/*.go hack/conformance/known.yaml hack/artifacts/oci/*.go hack/dev/layout/*.go) go.mod go.sum | $(TOOLS)
	@$(STEP) 'Build what runs the conformance tests' '' $(STATIC_BUILD) -o $@ ./hack/conformance
