# make run and make test do everything on a fresh Debian 12 with a Rust toolchain; `make help` lists the rest.
SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=

BUILD_PACKAGES := llvm-19-dev libelf-dev zlib1g-dev libzstd-dev make pkg-config gcc g++
TEST_PACKAGES := qemu-system-x86 cpio kmod lz4 xz-utils zstd strace libclang1-19 clang-19
KERNELS ?= 5.10 6.1 6.12 newest

# What needs root gets it, and what does not, runs as the person who called sudo: their toolchain, their files.
IS_ROOT := $(filter 0,$(shell id -u))
AS_ROOT := $(if $(IS_ROOT),,sudo)
CALLER := $(if $(IS_ROOT),$(filter-out root,$(SUDO_USER)))
CALLER_HOME := $(if $(CALLER),$(shell getent passwd $(CALLER) | cut -d: -f6),$(HOME))
export PATH := $(PATH):$(CALLER_HOME)/.cargo/bin:/root/.cargo/bin:/usr/sbin:/sbin
AS_CALLER := $(if $(CALLER),sudo -u $(CALLER) -H env "PATH=$$PATH" "BPFTRACE_TEST_TIER=$$BPFTRACE_TEST_TIER" $(if $(CARGO_TARGET_DIR),"CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)"))
CARGO := $(AS_CALLER) cargo

TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/release/bpftrace

TOOLS := $(wildcard tools/*.bt)
PAGES := $(wildcard man/man8/*.8)
# Each with its place under share.
COMPLETIONS := completions/bpftrace.bash bash-completion/completions/bpftrace \
               completions/_bpftrace zsh/site-functions/_bpftrace \
               completions/bpftrace.fish fish/vendor_completions.d/bpftrace.fish

# System calls by program, for five seconds.
DEMO := -e 'BEGIN { printf("Counting system calls by program for 5 seconds...\n"); } tracepoint:raw_syscalls:sys_enter { @[comm] = count(); } interval:s:5 { exit(); }'

.PHONY: help run build test vm bench install uninstall build-packages test-packages

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo; echo "  make run ARGS=\"-e '...'\"     any bpftrace arguments instead of the demonstration"
	@echo "  make install PREFIX=/usr DESTDIR=/tmp/package"

run: build ## Install what building needs, build, and trace this machine for a few seconds
	@echo "==> $(BINARY) $(if $(value ARGS),ARGS,(system calls by program))"
	@$(AS_ROOT) $(BINARY) $(if $(value ARGS),$(value ARGS),$(DEMO))

build: build-packages ## Build the release binary
	@echo "==> cargo build --release"
	@$(CARGO) build --release

# Tests use the release build too: it is the one that ships, and nothing is compiled twice.
test: build-packages test-packages ## Install what the tests need and run all of them, on this kernel and in virtual machines
	@echo "==> cargo test --release"
	@BPFTRACE_TEST_TIER=none $(CARGO) test --release --no-fail-fast
	@$(MAKE) --no-print-directory programs
	@$(MAKE) --no-print-directory generated SEED=1
	@$(MAKE) --no-print-directory vm

.PHONY: programs
programs: ## Only the program tests on this kernel; FILTER=text selects
	@echo "==> program tests on Linux $$(uname -r)"
	@$(AS_ROOT) env "PATH=$$PATH" $(PROGRAMS) $(if $(FILTER),"$(FILTER)")

generated: ## Make programs at random and run them on this kernel; SECONDS=30, SEED=number, KERNELS="6.1 6.12" runs them there
	@echo "==> programs made at random$(if $(filter command line,$(origin KERNELS)), in virtual machines: $(KERNELS), on Linux $$(uname -r))"
	@export BPFTRACE_TEST_SECONDS=$(RANDOM_SECONDS) $(if $(SEED),BPFTRACE_TEST_SEED=$(SEED)); \
	generated=$(call executable-of,test --release --test generated,generated); \
	$(AS_ROOT) env "PATH=$$PATH" "BPFTRACE_TEST_SECONDS=$$BPFTRACE_TEST_SECONDS" $(if $(SEED),BPFTRACE_TEST_SEED=$(SEED)) \
	    $(if $(filter command line,$(origin KERNELS)),tests/vm/run -t $$(($(RANDOM_SECONDS) + 120)) $(KERNELS) --) $$generated

# bash has a SECONDS of its own, which counts.
RANDOM_SECONDS = $(if $(filter command line,$(origin SECONDS)),$(SECONDS),30)
FUZZ_TARGETS := syntax check codegen

.PHONY: generated fuzz
fuzz: build-packages ## Fuzz each stage from the kept corpus; SECONDS=60 for each of FUZZ_TARGETS="syntax check codegen"
	@if ! cargo fuzz --version >/dev/null 2>&1 || ! cargo +nightly --version >/dev/null 2>&1; then \
	    echo "Fuzzing needs cargo-fuzz and a nightly toolchain. To get them:"; \
	    echo "    rustup toolchain install nightly --profile minimal"; \
	    echo "    cargo install cargo-fuzz --locked"; \
	    echo "Without them, cargo test --test corpus goes through the corpus and texts made of it."; \
	    exit 1; fi
	@seeds=$$(mktemp -d); trap 'rm -rf "$$seeds"' EXIT; \
	for each in $(TOOLS) tests/golden/*/*.bt; do cp "$$each" "$$seeds/$${each//\//_}"; done; \
	for target in $(FUZZ_TARGETS); do \
	    mkdir -p fuzz/corpus/$$target; \
	    echo "==> cargo fuzz run $$target, for $(if $(filter command line,$(origin SECONDS)),$(SECONDS),60) seconds"; \
	    cargo +nightly fuzz run -s none -O -a $$target fuzz/corpus/$$target tests/fuzz/corpus "$$seeds" -- \
	        -max_total_time=$(if $(filter command line,$(origin SECONDS)),$(SECONDS),60) $(FUZZ_OPTIONS) || exit 1; \
	done

# What takes longer or more than these is a finding too.
FUZZ_OPTIONS := -max_len=4096 -timeout=10 -rss_limit_mb=2048

vm: ## Only the program tests in virtual machines; KERNELS="5.10 6.1 6.12 newest", FILTER=text
	@echo "==> program tests in virtual machines: $(KERNELS)"
	@$(AS_ROOT) env "PATH=$$PATH" tests/vm/suite $(PROGRAMS) $(KERNELS) $(if $(FILTER),-- "$(FILTER)") || { status=$$?; [ $$status = 77 ] || exit $$status; }

.PHONY: kernels
kernels: build test-packages ## Write what each kernel has, as bpftrace --info says in virtual machines, into docs/kernels.md
	@echo "==> bpftrace --info in virtual machines: $(KERNELS)"
	@$(AS_ROOT) env "PATH=$$PATH" tests/vm/kernels $(abspath $(BINARY)) docs/kernels.md $(KERNELS)

# executable-of KIND,NAME: a compiled test or benchmark.
executable-of = "$$($(CARGO) $(1) --no-run --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*$(2)-[^"]*\)".*/\1/p')"
PROGRAMS = $(call executable-of,test --release --test programs,programs)

# Other bpftraces need tracefs where it usually is; a mount namespace of their own keeps the machine as it was.
export SEE_TRACEFS := mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; exec "$$0" "$$@"

bench: build ## Measure start-up, cost per hit and printing, next to an installed bpftrace, into docs/benchmarks.md
	@echo "==> cargo bench"
	@$(CARGO) bench --bench compare --no-run
	@$(AS_ROOT) unshare -m sh -c "$$SEE_TRACEFS" $(call executable-of,bench --bench compare,compare) --bench docs/benchmarks.md

.PHONY: bench-vm
bench-vm: build test-packages ## Measure attaching in virtual machines, next to an installed bpftrace, into docs/attaching.md; KERNELS="6.12 6.1"
	@echo "==> attaching many probes in virtual machines"
	@$(AS_ROOT) env "PATH=$$PATH" benches/attach.sh on $(if $(filter command line,$(origin KERNELS)),$(KERNELS),6.12 6.1) docs/attaching.md \
	    $(abspath $(BINARY)) $(wildcard /usr/bin/bpftrace)

install: build ## Install the binary, the tools, the man pages and the completions under PREFIX
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/bpftrace
	@for each in $(TOOLS); do echo "install $$each"; install -D -m 755 $$each $(DESTDIR)$(PREFIX)/sbin/$${each##*/} || exit 1; done
	@for each in $(PAGES); do echo "install $$each"; install -D -m 644 $$each $(DESTDIR)$(PREFIX)/share/man/man8/$${each##*/} || exit 1; done
	@set -- $(COMPLETIONS); while [ $$# -gt 0 ]; do echo "install $$1"; install -D -m 644 $$1 $(DESTDIR)$(PREFIX)/share/$$2 || exit 1; shift 2; done

uninstall: ## Remove what install has installed
	rm -f $(DESTDIR)$(PREFIX)/bin/bpftrace
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,$(notdir $(TOOLS))) $(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,$(notdir $(PAGES)))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/,$(filter-out completions/%,$(COMPLETIONS)))

# install-packages PACKAGES: what is missing of them, with apt.
define install-packages
	@missing=; for each in $(1); do \
	    [ "$$(dpkg-query -W -f '$${Status}' $$each 2>/dev/null)" = "install ok installed" ] || missing+=" $$each"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "==> not a Debian: make sure that you have$$missing, under your system's names"; exit 0; fi; \
	echo "==> installing with apt:$$missing"; \
	$(AS_ROOT) apt-get update -qq && $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef

build-packages:
	@command -v cargo >/dev/null || { echo "There is no cargo: install Rust first, see https://rustup.rs"; exit 1; }
	$(call install-packages,$(BUILD_PACKAGES))

test-packages:
	$(call install-packages,$(TEST_PACKAGES))
