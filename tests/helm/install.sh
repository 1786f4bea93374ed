#!/usr/bin/env bash
# Installs what the tests of this folder need: the real Helm engine, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")"

give_up() {
  echo "$1" >&2
  exit 1
}

new_enough() { [ -n "$1" ] && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' > /dev/null 2>&1; }

# Every interpreter of pyenv, which may be installed without being on the PATH.
pyenv_pythons() {
  local home
  for home in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv" "$(getent passwd "$(id -u)" | cut -d: -f6)/.pyenv"; do
    compgen -G "$home/versions/3.*/bin/python3" || true
  done
}

# HELM_PYTHON, what is on the PATH, then what pyenv and uv have and the PATH has not.
find_python() {
  local name
  for name in "${HELM_PYTHON:-}" python3.14 python3.13 python3.12 python3; do
    new_enough "$name" && echo "$name" && return
  done
  for name in $(pyenv_pythons | sort -rV); do
    new_enough "$name" && echo "$name" && return
  done
  if command -v uv > /dev/null && name=$(uv python find '>=3.12' 2> /dev/null); then
    new_enough "$name" && echo "$name" && return
  fi
  return 1
}

stamp=.venv/.ready-$(cksum < requirements.lock | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  python=$(find_python) \
    || give_up "The chart's tests need Python 3.12 or newer, and none was found; name one with HELM_PYTHON=/path/to/python3"
  echo "Installing the locked Helm engine into tests/helm/.venv …"
  rm -rf .venv
  "$python" -m venv .venv || give_up "No virtual environment could be made; on Debian: apt-get install python3-venv"
  .venv/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements.lock \
    || give_up "The Helm engine could not be installed (see above): is the network, or the package index, in reach?"
  touch "$stamp"
fi
