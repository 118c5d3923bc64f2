#!/usr/bin/env bash
# Runs a script of page/package.json with this machine's Node.js or, where that is missing or too old, with
# the package index's, which it installs into .venv-node.
#
#   PYTHON  the Python to install that with    [python3]
set -euo pipefail
cd "$(dirname "$0")/.."

recent='const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
if ! command -v npm >/dev/null || ! node --eval "$recent"; then
    if [ ! -x .venv-node/bin/npm ]; then
        "${PYTHON:-python3}" -m venv .venv-node
        .venv-node/bin/pip install --quiet --require-hashes -r requirements-page.txt
    fi
    PATH="$PWD/.venv-node/bin:$PATH"
fi
if ! cmp --silent page/package-lock.json page/node_modules/installed; then
    npm ci --prefix page --ignore-scripts --no-audit --no-fund --loglevel=error
    cp page/package-lock.json page/node_modules/installed
fi
if [ "$1" = check ]; then # the types of the API, from its own document
    .venv/bin/python -m scripts.openapi >page/openapi.json
fi
npm run --silent --prefix page "$@"
