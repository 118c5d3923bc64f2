#!/usr/bin/env bash
# Builds the image and tries it (try_image.py) without a Docker engine or a registry: as root on Debian,
# with buildah and podman, on a base image that debootstrap makes. This takes some minutes, and 4 GB in WORK.
#
#   WORK    working folder; a base image in it is reused           [a new one, removed at the end]
#   SUITE   Debian release of the base image                       [that of this machine]
#   MODELS  models to include in the image                         [2stems]
set -euo pipefail
cd "$(dirname "$0")/.."

for program in buildah podman debootstrap crun npm; do
    command -v "$program" > /dev/null || missing="${missing:-} $program"
done
if [ -n "${missing:-}" ]; then
    echo "Not installed:$missing. As root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "Run this as root: it builds without a Docker engine." >&2
    exit 1
fi

# crun needs control groups of version 2 only. Mount them for this script, in a mount namespace of its own.
if [ -z "${IN_OWN_MOUNTS:-}" ]; then
    IN_OWN_MOUNTS=1 exec unshare --mount --propagation private "$BASH" "scripts/$(basename "$0")" "$@"
fi
if [ "$(stat --file-system --format %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount --recursive /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi

if [ -z "${WORK:-}" ]; then
    WORK=$(mktemp --directory)
    trap 'podman rm --all --force > /dev/null 2>&1; rm -rf "$WORK"' EXIT
fi
mkdir -p "$WORK"
export CONTAINERS_STORAGE_CONF="$WORK/storage.conf"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$WORK/storage" "$WORK/run" \
    > "$CONTAINERS_STORAGE_CONF"

BASE=localhost/debian-python
if ! podman image exists "$BASE"; then
    suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
    mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" | head -n 1)
    rm -rf "$WORK/base"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$WORK/base" "$mirror"
    rm -rf "$WORK"/base/var/{cache/apt,lib/apt/lists}/*
    tar --directory "$WORK/base" --create . | podman import - "$BASE"
    rm -rf "$WORK/base"
fi

# Pass this machine's settings of pip and npm to the build as secrets, which do not become part of the image.
"${PYTHON:-python3}" - "$WORK" <<'END'
import ast, pathlib, shutil, subprocess, sys

work = pathlib.Path(sys.argv[1])
listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
settings = {}
for line in listed.stdout.splitlines():
    name, _, value = line.partition("=")
    settings[name.rpartition(".")[2]] = ast.literal_eval(value)
certificates = settings.get("cert")
(work / "ca.pem").write_bytes(pathlib.Path(certificates).read_bytes() if certificates else b"")
kept = {name: settings[name] for name in ("index-url", "trusted-host", "proxy", "default-timeout") if name in settings}
if certificates:
    kept["cert"] = "/run/secrets/ca"
registry = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=True).stdout
(work / "npmrc").write_text(f"registry={registry}" + ("cafile=/run/secrets/ca\n" if certificates else ""))
(work / "pip.conf").write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
END
chmod 600 "$WORK/pip.conf"

limit=$(ulimit -Hn)
IMAGE=localhost/spleeter-microservice
buildah bud --isolation chroot --network host --ulimit "nofile=$limit:$limit" --format docker --layers \
    --secret "id=pip,src=$WORK/pip.conf" --secret "id=ca,src=$WORK/ca.pem" \
    --secret "id=npm,src=$WORK/npmrc" \
    --build-arg BASE="$BASE" --build-arg MODELS="${MODELS-2stems}" --tag "$IMAGE" .
rm "$WORK/pip.conf" "$WORK/ca.pem" "$WORK/npmrc"
podman history --format '{{.Size}}	{{.CreatedBy}}' "$IMAGE" | grep -v '^0 B' | cut -c 1-100
podman images --format '{{.Repository}} {{.Size}}' "$IMAGE"

export ENGINE=podman ENGINE_PUBLISH=
export ENGINE_RUN="--cgroups=disabled --network=host --ulimit=nofile=1024:$limit --ulimit=nproc=4096:4096"
"${PYTHON:-python3}" scripts/try_image.py "$IMAGE"
