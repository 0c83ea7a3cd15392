# The commands of the house; each does its own set-up. The logic is in cargo, scripts/ and tests/.
.PHONY: demo web test test-k8s images bench soak lint setup fuzz fuzz-built cni style tested-rust tested-page
export PATH := $(PATH):/usr/sbin:/sbin

# The web page, into web/dist: a manager that is built after it has it.
web: setup
	scripts/web

# The Azure reference deployment with real traffic; ONCE=1 ends after the table.
demo: setup web
	cargo build --release --locked -p bartizan -p bartizan-lab
	./target/release/demo ./target/release/bartizan $(if $(ONCE),--once)

# Clippy lints while the tests are compiled: a `cargo clippy` of its own compiles all third-party crates once more.
LINTING := CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__ RUSTC_WORKSPACE_WRAPPER=clippy-driver
test: setup web style
	$(LINTING) cargo test --workspace --locked --all-targets --no-run
	$(MAKE) --jobs=3 tested-rust tested-page fuzz-built
	$(MAKE) fuzz

# Most of the tests is waiting, so they run side by side, and the compiler for fuzzing gets what they leave. Cargo counts
# its jobs by itself.
tested-rust:
	$(LINTING) MAKEFLAGS= cargo test --workspace --locked
tested-page:
	tests/chart/run
	web/tests/run

# A real cluster of two nodes; K8S_TOOLS and K8S_BIN are told by tests/k8s/run.
test-k8s: setup
	tests/k8s/run

# The container images and their parts lists, where there is a builder.
images: setup
	scripts/images

# One cargo at a time has the build directory: the one that only looks at what the tests need comes first. Where the kernel
# shares processors among sessions, a nice level counts within its own only, so this is a session of its own.
fuzz-built:
	sleep 20
	MAKEFLAGS= setsid --wait sh -c '{ echo 19 > /proc/self/autogroup; } 2>/dev/null; exec nice -n 19 fuzz/run.sh build'

# Each fuzz target for a bounded time.
FUZZ_SECONDS ?= 8
FUZZ_TARGETS ?= frame fragments tunnel config_xml lease routers lists captures commands requests policies cni
fuzz: setup
	for target in $(FUZZ_TARGETS); do fuzz/run.sh $$target $(FUZZ_SECONDS) || exit 1; done

# Micro-benches and the namespace harness; figures also go to target/bench.json, a line each.
bench: setup
	tests/perf/run

# Mixed traffic for SOAK_MINUTES: memory stays flat, sessions and ports come back.
SOAK_MINUTES ?= 30
soak: setup
	cargo build --release --locked -p bartizan -p bartizan-lab
	./target/release/soak ./target/release/bartizan $(SOAK_MINUTES)

# The program of Kubernetes nodes as it is shipped: static and small, or it fails. Then the same tests with it.
cni: setup
	scripts/cni
	BARTIZAN_CNI=$$PWD/target/$$(rustc -vV | sed -n 's/^host: //p')/cni/bartizan-cni \
	  cargo test --locked -p bartizan-cni -- --nocapture

style: setup web
	scripts/npm run --silent lint
	cargo fmt --all --check

lint: style
	cargo clippy --workspace --all-targets --locked -- -D warnings

setup:
	@scripts/setup
