#!/usr/bin/env bash
# Installs Prometheus, which evaluates the alerts, and promtool, which checks them, into /usr/local/bin. They come
# from Debian's package, which is not installed itself because that would also start a server.
set -euo pipefail
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads under another account
cd "$work"
apt-get download -qq prometheus
dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract --file - ./usr/bin/promtool ./usr/bin/prometheus
install -m 755 usr/bin/promtool usr/bin/prometheus /usr/local/bin/
prometheus --version 2>&1 | head -n 1
