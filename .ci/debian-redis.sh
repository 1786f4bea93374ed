#!/usr/bin/env bash
# Unpacks Debian's redis-server with the libraries that it needs, and prints the folder of the program. Installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/.cache/debian-redis
program=$root/bin/redis-server
if ! { [ -x "$program" ] && "$program" --version; } > /dev/null 2>&1; then
  command -v apt-get > /dev/null && command -v dpkg > /dev/null || exit 1
  rm -rf "$root"
  mkdir -p "$root/packages/partial" "$root/bin"
  if [ "$(id -u)" = 0 ] && ! apt-cache show redis-server > /dev/null 2>&1; then
    apt-get update > /dev/null 2>&1 || exit 1
  fi
  # Libraries that are missing here come along.
  apt-get install --download-only --reinstall --yes --no-install-recommends -o Debug::NoLocking=1 \
    -o Dir::Cache::archives="$root/packages" redis-server redis-tools > /dev/null 2>&1 || exit 1
  for package in "$root"/packages/*.deb; do
    dpkg -x "$package" "$root/files" || exit 1
  done
  libraries=$(find "$root/files" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$root/files/usr/bin/redis-server" > "$program"
  chmod +x "$program"
  "$program" --version > /dev/null || exit 1
fi
echo "$root/bin"
