#!/usr/bin/env bash
# Takes random steps against a server and against models of tables, and compares every answer. Prints its seed, and
# with a difference the command that repeats it; the data is kept then. Builds what it needs.
#
#   scripts/model-check.sh                             100,000 steps of four clients, about a minute
#   scripts/model-check.sh --kills                     the same with the server killed now and then
#   scripts/model-check.sh --seed N --client C --steps S   the first steps of one client of another run; every fourth
#                                                      number, 3 and so on, is that of several who share a table
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --release --quiet --package photondb --package compat-tests
exec "${CARGO_TARGET_DIR:-target}/release/model-check" "$@"
