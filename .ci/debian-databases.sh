#!/usr/bin/env bash
# Unpacks Debian's PostgreSQL and MariaDB with the libraries that they need, and prints the folder in which they are.
# Installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/.cache/debian-databases
if ! [ -e "$root/complete" ]; then
  command -v apt-get > /dev/null && command -v dpkg > /dev/null || exit 1
  rm -rf "$root"
  mkdir -p "$root/packages/partial"
  if [ "$(id -u)" = 0 ] && ! apt-cache show mariadb-server > /dev/null 2>&1; then
    apt-get update > /dev/null 2>&1 || exit 1
  fi
  server=$(apt-cache depends postgresql | sed -n 's/.*Depends: \(postgresql-[0-9]*\)$/\1/p')  # postgresql-15
  # Libraries that are missing here come along.
  apt-get install --download-only --reinstall --yes --no-install-recommends -o Debug::NoLocking=1 \
    -o Dir::Cache::archives="$root/packages" "$server" mariadb-server mariadb-server-core > /dev/null 2>&1 || exit 1
  for package in "$root"/packages/*.deb; do
    dpkg -x "$package" "$root/files" || exit 1
  done
  rm -rf "$root/packages"
  touch "$root/complete"
fi
echo "$root/files"
