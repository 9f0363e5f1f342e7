#!/usr/bin/env bash
# Everything that must pass. MEDWAY_TEST_ALL=1 runs hundreds of crash rounds and long soaks as well.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --check
cargo clippy --all-targets --quiet -- -D warnings
(cd web && npm run --silent check && npm run --silent build)
cargo build --quiet
cargo test --quiet --no-fail-fast
target/debug/medway check channels
target/debug/medway test channels
if [ -n "${MEDWAY_CHROMIUM:-}" ] || command -v chromium >/dev/null; then
  (cd web && npm test --silent)
else
  echo "SKIPPED: the dashboard in a browser: there is no Chromium" >&2
fi
