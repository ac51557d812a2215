#!/usr/bin/env bash
# Fuzz targets for what the server reads from its files and from its clients: any bytes are a value, an answer or a typed
# error, within bounds of memory.
# Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz --locked). What was found stays in target/fuzz, the
# corpora in target/fuzz/corpus. Fails with the first finding, whose file repeats it: target/fuzz/TRIPLE/release/TARGET FILE.
#
#   scripts/fuzz.sh [SECONDS] [TARGET]...    each target for so long, 60 unless told otherwise
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift || true
[ $# -gt 0 ] || set -- node records segments superblock store document key connection query made_query http

out=$(realpath -m "${CARGO_TARGET_DIR:-target}/fuzz")
corpus=$out/corpus
bin=$out/$(rustc +nightly -vV | sed -n 's/^host: //p')/release
nice cargo +nightly fuzz build --release --debug-assertions --fuzz-dir compat-tests/fuzz --target-dir "$out"
"$bin/seeds" "$corpus"
for target in "$@"; do
  mkdir -p "$out/found/$target"
  echo "-- $target"
  nice -n 19 "$bin/$target" "$corpus/$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$out/found/$target/" 2>&1 |
    { grep -E 'ERROR|panicked|SUMMARY|Test unit|Done|number_of_executed|peak_rss' || true; } ||
    { echo "FAILED: $target"; exit 1; }
done
