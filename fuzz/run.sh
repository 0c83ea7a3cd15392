#!/bin/sh
# Runs a fuzz target for some seconds, on stable Rust: fuzz/run.sh TARGET SECONDS; or builds all of them: fuzz/run.sh build
# The committed corpus is read; what the run finds goes to a directory of its own below the build directory.
set -eu
target=$1
# CI starts from the same seed each time, so that it fails only for what the change did; a search for more
# starts from another: FUZZ_SEED=0 takes a random one.
seed=${FUZZ_SEED:-1}
cd "$(dirname "$0")"
build=${CARGO_TARGET_DIR:-$PWD/../target}
# The whole workspace is chosen, so that third-party crates have the features that they have for the tests.
build() {
  RUSTC_WORKSPACE_WRAPPER=$PWD/instrument CARGO_INCREMENTAL=0 \
    cargo build --locked --workspace --features bartizan-fuzz/targets "$@"
}
if [ "$target" = build ]; then
  build --examples
  exit
fi
seconds=$2
build --example "$target"
mkdir -p "$build/found/$target" artifacts
exec "$build/debug/examples/$target" -max_total_time="$seconds" -seed="$seed" -timeout=10 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="artifacts/" "$build/found/$target" "corpus/$target"
