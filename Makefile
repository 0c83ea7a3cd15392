# The commands of the house; each does its own set-up. The logic is in cargo, scripts/ and tests/.
.PHONY: demo test bench soak lint setup fuzz
export PATH := $(PATH):/usr/sbin:/sbin

# The Azure reference deployment with real traffic; ONCE=1 ends after the table.
demo: setup
	cargo build --release --locked -p bartizan -p bartizan-lab
	./target/release/demo ./target/release/bartizan $(if $(ONCE),--once)

test: setup lint
	cargo test --workspace --locked
	tests/chart/run
	$(MAKE) fuzz

# Each fuzz target for a bounded time; the first builds what all need.
FUZZ_SECONDS ?= 13
FUZZ_TARGETS ?= frame fragments tunnel config_xml lease routers lists captures commands requests
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

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

setup:
	@scripts/setup
