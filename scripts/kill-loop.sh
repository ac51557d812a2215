#!/usr/bin/env bash
# Kills the server a thousand times while clients write with hard and soft durability, starts it again on the same
# directory each time, and checks that nothing acknowledged is lost and nothing is there by half. Prints its seed; the
# data is kept when something is wrong. Builds what it needs.
#
#   scripts/kill-loop.sh                        a thousand cycles, some five minutes
#   scripts/kill-loop.sh --cycles 50            fewer
#   scripts/kill-loop.sh --seed N --keep-before the choices of another run, and the data before the last start
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --release --quiet --package photondb --package compat-tests
exec "${CARGO_TARGET_DIR:-target}/release/kill-loop" "$@"
