#!/usr/bin/env bash
# Installs what the tests need beside Rust: HL7 and FHIR libraries nobody here wrote, as peers, under target/peers,
# and tools that make disks fail.
# The dashboard is tried in Debian's Chromium, with letters for Chinese.
# Uses the package registries by name; does nothing where everything is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=target/peers
mkdir -p "$peers"

need() { command -v "$1" >/dev/null 2>&1; }
install_packages() {
  if need apt-get && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
  else
    echo "setup: please install: $*" >&2
    exit 1
  fi
}
need cc || install_packages gcc libc6-dev
need python3 || install_packages python3 python3-venv
need npm || install_packages nodejs npm
# Wished for: without these the trials of failing disks, or those in a browser, say SKIPPED.
wish() {
  need "$1" && return
  if need apt-get && [ "$(id -u)" = 0 ]; then
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null) || true
  fi
  need "$1" || echo "setup: $2 is not there: the trials that need it are left out" >&2
}
wish strace strace
wish mkfs.ext4 e2fsprogs
[ -n "${MEDWAY_CHROMIUM:-}" ] || wish chromium chromium
wish fc-list fontconfig
[ -n "$(fc-list :lang=zh 2>/dev/null)" ] || (install_packages fonts-noto-cjk) || true

if ! "$peers/venv/bin/python" -c 'import hl7, fhirpy, fhirclient, standardwebhooks' 2>/dev/null; then
  python3 -m venv "$peers/venv" || { install_packages python3-venv; python3 -m venv "$peers/venv"; }
  "$peers/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'hl7==0.4.5' 'fhirpy==2.3.1' \
    'fhirclient==4.4.0' 'standardwebhooks==1.1.0'
fi
if ! cmp -s tests/peers/package.json "$peers/package.json" || [ ! -d "$peers/node_modules" ]; then
  cp tests/peers/package.json "$peers/package.json"
  (cd "$peers" && npm install --silent --no-audit --no-fund --no-package-lock --legacy-peer-deps \
    --omit=optional --omit=peer 2>/dev/null)
fi
if ! cmp -s web/package-lock.json web/node_modules/.installed; then
  (cd web && npm ci --silent --no-audit --no-fund)
  cp web/package-lock.json web/node_modules/.installed
fi
echo "setup: peers are ready in $peers"
