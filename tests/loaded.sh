#!/usr/bin/env bash
# Shows that the outcome of the tests does not depend on the load: `make test` three times, beside two busy loops.
set -euo pipefail
cd "$(dirname "$0")/.."

loops=()
trap 'kill "${loops[@]}"' EXIT
for _ in 1 2; do
  sh -c 'while :; do :; done' &
  loops+=($!)
done

export GATEWAY_TEST_PATIENCE=${GATEWAY_TEST_PATIENCE:-10}
for run in 1 2 3; do
  echo "Under load, run $run of 3"
  make test
done
