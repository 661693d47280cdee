#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 12 machine ready to build, demonstrate and test: system packages that are missing,
# then .venv with pinned versions.  Does nothing, quickly, when nothing has changed since the last
# run.  `make demo`, `make check`, `make test` and `make bench` call it.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian's own interpreter whatever PATH says: python3-bpfcc is built for it.
python=/usr/bin/python3
packages=(python3 python3-venv python3-bpfcc bird2 iproute2 iputils-ping tcpdump tmux gcc libc6-dev
    e2fsprogs mount)
stamp=.venv/setup-stamp

fail() { echo "set-up: $1" >&2; exit 1; }
say() { echo "set-up: $1" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    command -v sudo >/dev/null || fail "needs root for '$*': run it as root, or install sudo"
    sudo "$@"
}

missing_packages() {
    local name
    for name in "${packages[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

install_packages() {
    command -v dpkg-query >/dev/null ||
        fail "this is not Debian 12: install the equivalents of '${packages[*]}' by hand, and set up .venv as the end of tests/setup.sh does"
    local missing bird_was_here=true
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    [[ " ${missing[*]} " != *" bird2 "* ]] || bird_was_here=false
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get -qq update || fail "'apt-get update' failed: is the network reachable?"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >&2 ||
        fail "'apt-get install ${missing[*]}' failed; its words are above"
    # Debian starts a BIRD on the host at once; ours runs inside the fabric only.
    if [ "$bird_was_here" = false ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now bird || say "could not stop the bird service"
    fi
}

install_venv() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is $("$python" -V), Python 3.11 or newer is needed: use Debian 12"
    say "installing Python packages into .venv"
    # A venv that was moved, or made by a Python that is gone, cannot be repaired.
    .venv/bin/pip --version >/dev/null 2>&1 ||
        "$python" -m venv --clear --system-site-packages .venv
    # PIP_CONSTRAINT, not -c: it also binds the isolated environment that builds our own package.
    PIP_CONSTRAINT=tests/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        .venv/bin/pip install --quiet --editable '.[agent,console,dev]' hatchling ||
        fail "pip failed; its words are above (no network? then run it once with one)"
}

# For the tests of rules and dashboard.  Of the package only this: installed it would run a server.
fetch_promtool() {
    [ -x .venv/bin/promtool ] || command -v promtool >/dev/null && return 0
    local place
    place=$(mktemp -d)
    if (cd "$place" && apt-get -qq download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb |
        tar -x ./usr/bin/promtool) >/dev/null 2>&1; then
        mv "$place/usr/bin/promtool" .venv/bin/promtool
    else
        say "promtool cannot be had: its tests are skipped"
    fi
    rm -rf "$place"
}

# The place is part of it: scripts in a venv name their interpreter by its full path.
wanted=$({ pwd; "$python" -V; cat pyproject.toml tests/constraints.txt tests/setup.sh; } 2>&1 | sha256sum)

if [ -x .venv/bin/pytest ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
started=$SECONDS
install_packages
install_venv
fetch_promtool
echo "$wanted" >$stamp
say "done in $((SECONDS - started)) s"
