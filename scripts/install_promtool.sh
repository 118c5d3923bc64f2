#!/usr/bin/env bash
# Installs promtool, which checks Prometheus's rules, into /usr/local/bin. It comes from Debian's package of
# Prometheus, which is not installed itself because that would also start a server.
set -euo pipefail
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads under another account
cd "$work"
apt-get download -qq prometheus
dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract --file - ./usr/bin/promtool
install -m 755 usr/bin/promtool /usr/local/bin/promtool
promtool --version 2>&1 | head -n 1
