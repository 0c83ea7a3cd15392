#!/bin/sh
# Runs one fuzz target on the stable compiler: ./run.sh <target> [seconds]
set -eu
cd "$(dirname "$0")"
target=$1
seconds=${2:-60}
# Naming the target keeps the instrumentation out of build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 --cfg fuzzing" \
  cargo build --release --target "$host" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" "corpus/$target" \
  -max_total_time="$seconds" -artifact_prefix="artifacts/$target/" -print_final_stats=1
