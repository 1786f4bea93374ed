#!/usr/bin/env bash
# Installs what the tests of this folder need: the locked clients beside this file, and Node.js and Chromium on Debian.
set -euo pipefail
cd "$(dirname "$0")"

give_up() {
  echo "$1" >&2
  exit 1
}

have() { command -v "$1" > /dev/null; }

missing=()
have node || missing+=(nodejs)
have npm || missing+=(npm)
have "${CHROMIUM:-chromium}" || have chromium-browser || have google-chrome || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] && have apt-get \
    || give_up "The client tests need ${missing[*]}; on Debian: sudo apt-get install --no-install-recommends ${missing[*]}"
  echo "Installing ${missing[*]} …"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
    > /dev/null || give_up "apt-get could not install ${missing[*]} (see above)"
fi
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
  || give_up "The client tests need Node.js 20 or newer, this is $(node --version)"

python=${PYTHON:-../../.venv/bin/python}
have "$python" || python=python3
have "$python" || give_up "The client tests need Python 3.11 or newer; name one with PYTHON=/path/to/python3"

stamp=node_modules/.ready-$(cat package.json package-lock.json | cksum | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  echo "Installing the locked Node clients into tests/clients/node_modules …"
  npm ci --ignore-scripts --loglevel=error > /dev/null \
    || give_up "The Node clients could not be installed (see above): is the network, or npm's registry, in reach?"
  touch "$stamp"
fi

stamp=.venv/.ready-$(cksum < requirements.lock | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  echo "Installing the locked Python clients into tests/clients/.venv …"
  rm -rf .venv
  "$python" -m venv .venv || give_up "No virtual environment could be made; on Debian: apt-get install python3-venv"
  .venv/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements.lock \
    || give_up "The Python clients could not be installed (see above): is the network, or the package index, in reach?"
  touch "$stamp"
fi
