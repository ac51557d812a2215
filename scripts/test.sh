#!/usr/bin/env bash
# The test command: all that must hold before a change lands, in stages. Stops at the first stage that fails and
# names it; the last line says how many checks passed and failed. Needs a Rust toolchain, and for the driver
# applications node with npm, python3, go, and java with mvn: those of a missing toolchain are skipped, but fail where
# CI is set. Their packages are installed from their lock files.
#
#   scripts/test.sh             everything
#   scripts/test.sh --quick     without the driver applications, the abuse, the kills, the simulated crashes and the model
#   scripts/test.sh --nightly   everything, with these at full length
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=full
case "${1:-}" in
"") ;;
--quick) mode=quick ;;
--nightly) mode=nightly ;;
*)
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  exit 2
  ;;
esac

bin=${CARGO_TARGET_DIR:-target}/release
log=$(mktemp)
passed=0
failed=0
job=

# each stage is a job with a process group of its own, so that ending the group ends every server it started
set -m
finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [ -n "$job" ]; then
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  fi
  rm -f "$log"
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  exit "$status"
}
trap finish EXIT
trap 'failed=$((failed + 1)); exit 130' INT TERM HUP

# sums "N passed, N failed" and cargo's "N passed; N failed" over the stage's output; a stage without either is one check
count() {
  awk -v status="$1" '
    /^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3; seen = 1 }
    /^test result: / { for (i = 2; i <= NF; i++) { if ($i == "passed;") p += $(i - 1); if ($i == "failed;") f += $(i - 1) } seen = 1 }
    END { if (!seen) { p = status == 0; f = 0 } if (status != 0 && f == 0) f = 1; print p + 0, f + 0 }' "$log"
}

stage() {
  local name=$1 began=$SECONDS status=0 good bad
  shift
  printf '\n== %s\n' "$name"
  ("$@" 2>&1 | tee "$log") &
  job=$!
  wait "$job" || status=$?
  job=
  read -r good bad < <(count "$status")
  passed=$((passed + good))
  failed=$((failed + bad))
  printf -- '-- %s: %d s\n' "$name" "$((SECONDS - began))"
  if [ "$status" -ne 0 ]; then
    printf '\nFAILED: %s\n' "$name"
    exit 1
  fi
}

# a stage of driver applications, which needs the tools named in its second argument
client() {
  local name=$1 tool
  for tool in $2; do
    if ! command -v "$tool" >/dev/null; then
      if [ -n "${CI:-}" ]; then
        failed=$((failed + 1))
        printf '\nFAILED: %s: there is no %s, and CI must have it\n' "$name" "$tool"
        exit 1
      fi
      printf '\n== %s\nSKIPPED: there is no %s on this machine\n' "$name" "$tool"
      return
    fi
  done
  shift 2
  stage "$name" "$@"
}

drivers=compat-tests/drivers

javascript_packages() {
  (cd "$drivers/js" && npm ci --no-audit --no-fund --loglevel=error)
  NODE_PATH=$drivers/js/node_modules example js node -
}

javascript() {
  "$bin/with-server" node "$drivers/js/$1"
}

python_packages() {
  [ -x "$drivers/python/.venv/bin/pip" ] || python3 -m venv "$drivers/python/.venv"
  "$drivers/python/.venv/bin/pip" install --quiet --disable-pip-version-check -r "$drivers/python/requirements.txt"
  example python "$drivers/python/.venv/bin/python" -
}

python() {
  PYTHONDONTWRITEBYTECODE=1 "$bin/with-server" "$drivers/python/.venv/bin/python" "$drivers/python/$1"
}

# the examples of Go and Java come from standard input, and are compiled beside the packages of the applications
go_example() {
  local folder
  folder=$(mktemp -d)
  cat >"$folder/films.go"
  go -C "$drivers/go" run "$folder/films.go" || { rm -rf "$folder"; return 1; }
  rm -rf "$folder"
}

java_example() {
  local folder
  folder=$(mktemp -d)
  cat >"$folder/Films.java"
  maven -Dsources="$folder" -Dprogram=Films compile exec:java || { rm -rf "$folder"; return 1; }
  rm -rf "$folder"
}

maven() {
  mvn --quiet --batch-mode --file "$drivers/java/pom.xml" "$@"
}
export drivers
export -f go_example java_example maven

golang() {
  go -C "$drivers/go" vet .
  example go go_example
  "$bin/with-server" go -C "$drivers/go" run .
}

java_driver() {
  example java java_example
  "$bin/with-server" bash -c "maven compile exec:java"
}

# runs the example of the README in a language, against a server of its own port
example() {
  local code
  code=$(awk -v start='```'"$1" '$0 == start { on = 1; next } /^```/ { on = 0 } on' README.md)
  [ -n "$code" ] || { echo "README.md has no example in $1"; return 1; }
  shift
  "$bin/with-server" bash -c 'printf "%s\n" "${1//28015/$PHOTONDB_PORT}" | "${@:2}"' example "$code" "$@"
}

# random queries against a model of a table: a minute, or 100,000 steps twice, once with kills in between
model() {
  if [ "$mode" = nightly ]; then
    "$bin/model-check" --steps 100000
    "$bin/model-check" --steps 100000 --kills
  else
    "$bin/model-check" --steps 10000000 --seconds 60
  fi
}

# the storage engine on simulated disks: two minutes of crashes, or optimised a million of them, and stores so large
# that no limit of the format is out of reach
simulation() {
  if [ "$mode" = nightly ]; then
    PHOTONDB_SIMULATED_CRASHES=1000000 PHOTONDB_STRESS_SECONDS=120 PHOTONDB_LARGE=1 \
      cargo test --locked --quiet --config 'profile.dev.package.photondb.opt-level=2' --package photondb --lib \
      storage::simulation -- --nocapture --test-threads 1
  else
    PHOTONDB_SIMULATED_SECONDS=120 cargo test --locked --quiet --package photondb --lib \
      storage::simulation::every_crash -- --nocapture
  fi
}

command -v cargo >/dev/null || { echo "scripts/test.sh needs cargo"; failed=1; exit 1; }

stage "format" cargo fmt --all --check
stage "lints" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
stage "tests, tidy among them" cargo test --locked --quiet --workspace
stage "release build" cargo build --locked --release --workspace
stage "recorded answers" "$bin/replay"
stage "storage workloads, small" "$bin/engines" all --smoke
stage "a table larger than memory" "$bin/large-table"
stage "memory as large as the cache" "$bin/cache-size" --caches "$([ "$mode" = nightly ] && echo 10 || echo 3)"
if [ "$mode" != quick ]; then
  stage "simulated crashes" simulation
  stage "kills" "$bin/kill-loop" --cycles "$([ "$mode" = nightly ] && echo 1000 || echo 50)"
  stage "model of a table" model
  client "JavaScript: packages, example of the README" "node npm" javascript_packages
  client "JavaScript: application with rethinkdb" "node npm" javascript todo.js
  client "JavaScript: application with rethinkdb-ts" "node npm" javascript todo-ts.js
  client "JavaScript: application with rethinkdbdash" "node npm" javascript todo-dash.js
  client "JavaScript: application with thinky" "node npm" javascript thinky.js
  client "JavaScript: recorded answers through rethinkdb" "node npm" javascript recorded.js
  client "Python: packages, example of the README" "python3" python_packages
  client "Python: application with rethinkdb" "python3" python todo.py
  client "Python: recorded answers through rethinkdb" "python3" python recorded.py
  client "Go: example of the README, application with rethinkdb-go" "go" golang
  client "Java: example of the README, application with rethinkdb-driver" "java mvn" java_driver
  if [ "$mode" = nightly ]; then
    stage "lints of the peers' bench" cargo clippy --locked --package engines --features peers --all-targets --quiet -- -D warnings
    stage "storage workloads, small, with the peers" cargo run --locked --release --quiet --package engines --features peers -- all --smoke
    stage "abuse" "$bin/abuse" --full
    client "fuzz targets, an hour each" "cargo-fuzz" scripts/fuzz.sh 3600
  else
    stage "abuse" "$bin/abuse"
  fi
fi
