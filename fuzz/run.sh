#!/bin/sh
# Runs a fuzz target for some seconds, on stable Rust: fuzz/run.sh TARGET SECONDS; or builds all of them: fuzz/run.sh build
# The committed corpus is read; what the run finds goes to a directory of its own below the build directory.
set -eu
target=$1
# CI starts from the same seed each time, so that it fails only for what the change did; a search for more
# starts from another: FUZZ_SEED=0 takes a random one.
seed=${FUZZ_SEED:-1}
cd "$(dirname "$0")"
build=${CARGO_TARGET_DIR:-target}
# Naming the target triple keeps the instrumentation out of build scripts and macros.
triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing"
[ "$target" != build ] || exec cargo build --release --target "$triple" --bins
seconds=$2
cargo build --release --target "$triple" --bin "$target"
mkdir -p "$build/found/$target" artifacts
exec "$build/$triple/release/$target" -max_total_time="$seconds" -seed="$seed" -timeout=10 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="artifacts/" "$build/found/$target" "corpus/$target"
