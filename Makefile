# ambient-kube: `make help` says what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

export GO ?= go

BUILD := .build
BIN   := $(BUILD)/bin
RACE  := $(BUILD)/race
KUBE  := $(BUILD)/kube
TOOLS := $(BUILD)/tools

# Where images are, and which: honoured by images, manifests and deploy. A tag is
# also what --version shows.
IMAGE_REGISTRY ?=
IMAGE_TAG ?=

VERSION ?= $(if $(IMAGE_TAG),$(if $(shell [[ "$(IMAGE_TAG)" =~ ^v[0-9]+\.[0-9]+\.[0-9]+ ]] && echo yes),$(IMAGE_TAG),v0.0.0-$(IMAGE_TAG)),$(GIT_VERSION))
GIT_VERSION = $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || \
	echo "v0.0.0-$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)")

# One set of flags for every release build, here and in hack/kube, so that all
# share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := -buildvcs=false -trimpath -tags=grpcnotrace
LDFLAGS := -s -w \
	-X github.com/ambient-code/ambient-kube/release.version=$(VERSION) \
	-X k8s.io/client-go/pkg/version.gitVersion=$(VERSION)

# And one for the race detector: our own programs and our tests, never the
# control plane, and not ambientd, which stands for somebody else's server.
RACE_ENV := CGO_ENABLED=1
RACE_FLAGS := -race

# `make test PACKAGES=./apiserver/... RUN=TestName` tests a part.
PACKAGES ?= ./...
RUN      ?=
# Never from the cache, which does not know the programs that tests start.
COUNT    ?= 1
TEST_FLAGS := $(if $(RUN),-run '$(RUN)') -count=$(COUNT)

# Where Go code is.
FOLDERS := apiserver certs cmd docs hack manifests reconciler release statuspage

# Tests with dependencies that the main module's must not meet have modules of their
# own; tests below hack/e2e run them.
MODULES := hack/gitops hack/monitoring

# What tests start.
TEST_ENV := $(RACE_ENV) AMBIENT_KUBE_BINARIES=$(abspath $(RACE)) AMBIENT_KUBE_CONTROL_PLANE=$(abspath $(KUBE))

# Where make up keeps everything.
STAND ?= .run
UP := $(BIN)/up --directory=$(STAND)

##@ Use
.PHONY: up start down status logs clean

up: preflight ## start everything on this machine, with examples
	@if [[ -x $(BIN)/up ]] && $(UP) status >/dev/null 2>&1; then $(UP) up; else $(MAKE) --no-print-directory start; fi

start: $(KUBE)/.built binaries
	@$(UP) up

# These work on what is there, even if the tree does not compile just now.
status: $(BIN)/up ## tell what runs
	@$(UP) status

logs: $(BIN)/up ## print the end of each log; NAME=etcd LINES=100 for one
	@$(UP) logs $(if $(NAME),--name=$(NAME)) $(if $(LINES),--lines=$(LINES))

down: $(BIN)/up ## stop everything, keep the data
	@$(UP) down

clean: $(BIN)/up ## stop everything, remove the data; built programs stay
	@$(UP) clean

##@ Build
.PHONY: build binary binaries binaries-all images control-plane race generate

PROGRAMS ?= ./cmd/... ./hack/up ./hack/operator ./hack/kubelet

# By this, kubectl completes what is typed behind kubectl ambient.
COMPLETION := cmd/kubectl-ambient/kubectl_complete-ambient

build: preflight binaries ## build our programs into .build/bin
binary: build ## the same

binaries: | preflight
	@echo "Building our programs into $(BIN)."
	@mkdir -p $(BIN)
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ $(PROGRAMS)
	@install -m 755 $(COMPLETION) $(BIN)/

# What images hold, for each platform that Go can build for without a C compiler.
PLATFORMS ?= linux/amd64 linux/arm64

binaries-all: | preflight ## build our programs for all PLATFORMS into .build/dist
	@for platform in $(PLATFORMS); do \
		echo "Building for $$platform."; mkdir -p $(BUILD)/dist/$${platform/\//-}; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -ldflags '$(LDFLAGS)' -o $(BUILD)/dist/$${platform/\//-}/ ./cmd/...; \
	done

# docker, or podman.
CONTAINER_ENGINE ?= docker
IMAGES := ambient-kube-apiserver ambient-kube-reconciler ambientd

images: binaries-all ## build an image for each of PLATFORMS: IMAGE_REGISTRY=registry/folder IMAGE_TAG=v1.2.3
	@[[ -n "$(IMAGE_REGISTRY)" && -n "$(IMAGE_TAG)" ]] || { echo "Say where and which: make images IMAGE_REGISTRY=registry/folder IMAGE_TAG=v1.2.3" >&2; exit 1; }
	@for image in $(IMAGES); do for platform in $(PLATFORMS); do \
		$(CONTAINER_ENGINE) build -f Dockerfile.prebuilt --platform=$$platform --build-arg TARGETARCH=$${platform#*/} --build-arg PROGRAM=$$image --build-arg VERSION=$(VERSION) \
			-t $(IMAGE_REGISTRY)/$$image:$(IMAGE_TAG)-$${platform#*/} .; \
	done; done

$(BIN)/up: | preflight
	@mkdir -p $(BIN)
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./hack/up

control-plane: preflight $(KUBE)/.built ## build Kubernetes from source into .build/kube, if it is not there

$(KUBE)/.built: hack/kube/go.mod hack/kube/etcd/main.go | preflight
	@hack/kube/build.sh $(KUBE)
	@touch $@

race: binaries
	@echo "Building our programs with the race detector into $(RACE). The first time, this takes about 10 minutes."
	@mkdir -p $(RACE)
	@$(RACE_ENV) $(GO) build $(RACE_FLAGS) -ldflags '$(LDFLAGS)' -o $(RACE)/ ./cmd/ambient-kube-apiserver ./cmd/ambient-kube-reconciler ./cmd/kubectl-ambient ./hack/operator
	@cp -p $(BIN)/ambientd $(RACE)/ambientd
	@install -m 755 $(COMPLETION) $(RACE)/

generate: preflight ## generate code from .proto files and API types, and the tables of docs
	$(GO) run ./hack/protogen
	hack/codegen.sh
	$(GO) run ./hack/phases >docs/phases.md
	$(GO) run ./hack/metrics >docs/metrics.md
	$(GO) run ./hack/licences >docs/licences.md

##@ Install
.PHONY: manifests deploy undeploy cluster cluster-status cluster-clean

# A cluster to try these on: a control plane and a stand-in for a node, without our
# programs.
CLUSTER := --cluster --directory=.run-cluster

cluster: preflight $(KUBE)/.built binaries ## start a cluster on this machine to deploy to
	@$(BIN)/up $(CLUSTER) up

cluster-status: $(BIN)/up ## tell what of it runs
	@$(BIN)/up $(CLUSTER) status

cluster-clean: $(BIN)/up ## stop it and remove its data
	@$(BIN)/up $(CLUSTER) clean

KUBECTL ?= $(if $(wildcard $(KUBE)/kubectl),$(KUBE)/kubectl,kubectl)
OVERLAY ?=
DEPLOY = $(GO) run ./hack/deploy --overlay='$(OVERLAY)' --image-registry='$(IMAGE_REGISTRY)' --image-tag='$(IMAGE_TAG)' --kubectl='$(KUBECTL)'

manifests: preflight ## print the manifests: OVERLAY=local, production or openshift, IMAGE_REGISTRY, IMAGE_TAG
	@$(DEPLOY) render

# On the cluster of make up, what runs as processes makes way first.
ON_STAND = $(filter $(abspath $(STAND))/kubeconfig,$(KUBECONFIG))

deploy: preflight $(if $(ON_STAND),binaries) ## put them onto the cluster of KUBECONFIG, in order, and wait
	@$(if $(ON_STAND),$(DEPLOY) render >/dev/null && $(UP) make-way)
	@$(DEPLOY) apply

undeploy: preflight $(if $(ON_STAND),$(BIN)/up) ## take them off again, without harm to what others have there
	@$(DEPLOY) remove
	@$(if $(ON_STAND),$(UP) take-back)

##@ Check
.PHONY: preflight fmt lint vulnerabilities verify test unit e2e conformance bench mutants soak fuzz

preflight:
	@hack/preflight.sh $(PREFLIGHT)

GOFMT = $$($(GO) env GOROOT)/bin/gofmt

fmt: ## format the Go code
	@$(GOFMT) -s -l -w $(FOLDERS)

lint: $(TOOLS)/golangci-lint ## run golangci-lint, staticcheck included
	$(TOOLS)/golangci-lint run
	for module in $(MODULES); do (cd $$module && $(abspath $(TOOLS)/golangci-lint) run) || exit 1; done

vulnerabilities: preflight ## look for known ones in what we compile in; VULNERABILITY_DATABASE=file:///folder without a network
	$(GO) build -C hack/tools -o $(abspath $(TOOLS))/ golang.org/x/vuln/cmd/govulncheck
	$(TOOLS)/govulncheck $(if $(VULNERABILITY_DATABASE),-db=$(VULNERABILITY_DATABASE)) ./cmd/...

$(TOOLS)/golangci-lint: hack/tools/go.mod | preflight
	@mkdir -p $(TOOLS)
	@echo "Building the linters. The first time, this takes some minutes."
	@$(GO) build -C hack/tools -o $(abspath $(TOOLS))/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

verify: preflight ## all that can be said without running: format, vet, lint, generated code
	@unformatted=$$($(GOFMT) -s -l $(FOLDERS)); if [[ -n $$unformatted ]]; then echo "Not formatted:" $$unformatted; exit 1; fi
	$(GO) vet ./...
	for module in $(MODULES); do $(GO) vet -C $$module ./... || exit 1; done
	$(GO) test ./hack/text
	$(if $(VULNERABILITY_DATABASE),$(MAKE) --no-print-directory vulnerabilities,@echo "Known vulnerabilities are not looked for: that needs make vulnerabilities and a network, or VULNERABILITY_DATABASE.")
	$(MAKE) --no-print-directory lint
	hack/verify-generated.sh

# What PACKAGES names, and all of it by default.
PARTS = $(if $(UNIT_PACKAGES),unit) $(if $(filter ./... ./hack/e2e%,$(PACKAGES)),e2e)
UNIT_PACKAGES = $(filter-out ./hack/e2e%,$(PACKAGES))
E2E_PACKAGES = $(or $(filter ./hack/e2e%,$(PACKAGES)),./hack/e2e/...)

test: PREFLIGHT := cc
test: preflight $(KUBE)/.built race ## everything: vet, unit tests and end-to-end tests with the race detector
	@echo "== generated code"
	@hack/verify-generated.sh
	@echo "== vet"
	@$(RACE_ENV) $(GO) vet $(RACE_FLAGS) $(PACKAGES)
	@for module in $(MODULES); do $(GO) vet -C $$module ./... || exit 1; done
	@failed=; for part in $(PARTS); do $(MAKE) --no-print-directory $$part || failed+=" $$part"; done; \
	if [[ -n $$failed ]]; then echo "FAILED:$$failed"; exit 1; fi; echo "All tests passed."

# Packages without tests would only add lines.
WITH_TESTS := '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}'

unit:
	@echo "== unit tests; log: $(BUILD)/unit.log"
	@packages=$$($(if $(UNIT_PACKAGES),$(GO) list -f $(WITH_TESTS) $(UNIT_PACKAGES) | sed '/\/hack\/e2e/d')); \
	[[ -n $$packages ]] || { echo "There are none in $(PACKAGES)."; exit 0; }; \
	$(TEST_ENV) $(GO) test $(RACE_FLAGS) -vet=off -timeout=20m $(TEST_FLAGS) $$packages 2>&1 | tee $(BUILD)/unit.log || $(call failures,unit)

e2e:
	@echo "== end-to-end tests; log: $(BUILD)/e2e.log"
	@$(TEST_ENV) $(GO) test $(RACE_FLAGS) -vet=off -p=1 -timeout=40m $(TEST_FLAGS) \
		$$($(GO) list -f $(WITH_TESTS) $(E2E_PACKAGES)) 2>&1 | tee $(BUILD)/e2e.log || $(call failures,e2e)

# failures repeats what failed after a long output, and fails.
failures = { echo "== what failed"; grep -E '^ *--- FAIL|^FAIL|^panic:|DATA RACE|^make' $(BUILD)/$(1).log || true; exit 1; }

# The packages of end-to-end tests that any upstream can be put under; what needs a
# fault switch in them skips itself by name.
ANY_UPSTREAM := ./hack/e2e/api ./hack/e2e/flow ./hack/e2e/outage

conformance: preflight $(KUBE)/.built binaries ## prove an upstream server: UPSTREAM=host:port TOKEN_FILE=f [CA_FILE=f]
	@[[ -n "$(UPSTREAM)" && -n "$(TOKEN_FILE)" ]] || { echo "Say which server: make conformance UPSTREAM=host:port TOKEN_FILE=file" >&2; exit 1; }
	AMBIENT_CONFORMANCE_ADDRESS=$(UPSTREAM) AMBIENT_CONFORMANCE_TOKEN_FILE=$(abspath $(TOKEN_FILE)) AMBIENT_CONFORMANCE_CA_FILE=$(if $(CA_FILE),$(abspath $(CA_FILE))) \
		$(GO) test -v -p=1 -count=1 -timeout=30m $(TEST_FLAGS) ./apiserver/upstream/conformance $(ANY_UPSTREAM)

BENCH ?= .
# The benchmarks of the whole system end with their rows of docs/performance.md.
ROWS := $(BUILD)/bench-rows.md
bench: preflight $(KUBE)/.built binaries ## run the benchmarks; BENCH=pattern for some, AMBIENT_BENCH_SCALE=20 for a short look
	@rm -f $(ROWS)
	AMBIENT_BENCH_ROWS=$(abspath $(ROWS)) AMBIENT_KUBE_BINARIES=$(abspath $(BIN)) AMBIENT_KUBE_CONTROL_PLANE=$(abspath $(KUBE)) \
		$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -p=1 -count=$(COUNT) -timeout=60m $(PACKAGES)
	@if [[ -s $(ROWS) ]]; then cat $(ROWS); fi

mutants: preflight $(KUBE)/.built binaries ## break the code in many ways and require a red test for each; RUN=pattern for some
	@AMBIENT_KUBE_BINARIES=$(abspath $(BIN)) AMBIENT_KUBE_CONTROL_PLANE=$(abspath $(KUBE)) $(GO) run ./hack/mutants $(if $(RUN),-run '$(RUN)')

MINUTES ?= 30
soak: PREFLIGHT := cc
soak: preflight $(KUBE)/.built race ## the model for 10,000 operations, then all end-to-end tests again and again, for MINUTES=30
	@$(TEST_ENV) hack/soak.sh $(MINUTES)

FUZZTIME ?= 1m
fuzz: preflight ## run every fuzz target for FUZZTIME=1m
	@hack/fuzz.sh $(FUZZTIME)

##@ Help
.PHONY: help
help: ## print this
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
