# What there is to do with this tree; `make` alone lists it. Only Go has to be there:
# what else is needed is installed, or the one line that installs it is printed.

SHELL       := /bin/bash
.SHELLFLAGS := -o pipefail -ec
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help

GO      ?= go
KEEP    ?=
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
TOOL    := $(GO) tool -modfile=test/tools/go.mod
GOFILES  = $(shell find . -name '*.go' -not -path './.*' -not -path './bin/*')

# Two packages at once, whatever the machine: the labs among them measure times. The one
# that takes longest comes first, with all others beside it.
TEST     := $(GO) test -json -count=1 -p 2 -timeout 20m ./test/cluster ./...
# TOTALS names a file for the last line of the tests' summary.
TALLY     = bin/tally $(if $(TOTALS),-totals $(TOTALS))

.NOTPARALLEL: # the order of prerequisites counts

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: require-go ## Build bin/fairway
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/fairway ./cmd/fairway

.PHONY: demo
demo: require-root build ## Three nodes and two routers on this machine; KEEP=1 leaves them standing (root)
	@test/setup/install.sh
	@KEEP=$(KEEP) FAIRWAY_BIN=bin/fairway $(GO) run ./test/demo

.PHONY: interop
interop: require-root build ## A session for each feature with FRR, BIRD, GoBGP and OpenBGPD; writes test/interop/RESULTS.md (root)
	@test/setup/install.sh
	@FAIRWAY_BIN=bin/fairway $(GO) run ./test/interop

.PHONY: test
test: check-generated test-setup ## All tests but the long ones; without root what can run, and what was skipped
	@$(TEST) | $(TALLY)

.PHONY: test-long
test-long: check-generated test-setup ## What `make test` runs, and what takes longer
	@FAIRWAY_LONG=1 $(TEST) | $(TALLY)

# Where something is missing and this is not root, install.sh prints the line that
# installs it, and the tests that need it say so in the list of the skipped ones.
.PHONY: test-setup
test-setup: require-go
	@test/setup/install.sh || [ "$$(id -u)" -ne 0 ]
	@[ "$$(id -u)" -eq 0 ] || echo 'test: not root, so tests that need network namespaces are skipped; all of them: sudo env "PATH=$$PATH" make test'
	@$(GO) build -o bin/tally ./test/tally
	@$(GO) run ./test/controlplane/cmd/build kube-apiserver kube-proxy >/dev/null # it prints the paths

.PHONY: lint
lint: require-go ## gofmt, go vet and golangci-lint
	@unformatted=$$($$($(GO) env GOROOT)/bin/gofmt -l $(GOFILES)); [ -z "$$unformatted" ] || \
		{ echo "lint: not formatted, run gofmt -w on:" $$unformatted >&2; exit 1; }
	$(GO) vet ./...
	$(TOOL) golangci-lint run

.PHONY: generate
generate: require-go ## Write the generated files anew: CRDs, deep copies
	@test/tools/generate.sh

.PHONY: check-generated
check-generated: require-go ## Check that the generated files are those that `make generate` writes
	@test/tools/check-generated.sh

.PHONY: clean
clean: ## Remove what was built here; the caches of Go and of the tests stay
	rm -rf bin .cache

.PHONY: require-go
require-go:
	@command -v $(GO) >/dev/null || { echo "make: there is no '$(GO)' on PATH; install Go 1.26 or later (https://go.dev/dl)." \
		'Under sudo its folder may be missing from PATH: sudo env "PATH=$$PATH" make ...' >&2; exit 1; }

.PHONY: require-root
require-root:
	@[ "$$(id -u)" -eq 0 ] || { echo 'make: this makes network namespaces and needs root: sudo env "PATH=$$PATH" make $(MAKECMDGOALS)' >&2; exit 1; }
