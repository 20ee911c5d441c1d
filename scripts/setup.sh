#!/usr/bin/env bash
# Makes this tree ready to run: Debian packages, .venv, web pages. Safe to repeat; what is
# there already is left alone.
#
#   scripts/setup.sh demo   what `make demo` needs
#   scripts/setup.sh test   what `make test` needs as well (the default)
#
# PYTHON=python3.13 picks another Python (3.11 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

purpose=${1:-test}
python=${PYTHON:-python3}
stamps=build/setup # a hash of what was installed, to tell when it must be done again

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}
digest() { sha256sum | cut -d' ' -f1; }
is_done() { [[ -e $stamps/$1 && $(<"$stamps/$1") == "$2" ]]; }
set_done() {
    mkdir -p "$stamps"
    printf '%s\n' "$2" >"$stamps/$1"
}

# --- Debian packages -------------------------------------------------------------------

has_node() {
    command -v npm >/dev/null && command -v node >/dev/null &&
        node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 18 || (a == 18 && b >= 2) ? 0 : 1)'
}

wanted_packages() {
    local classes=build
    [[ $purpose == demo ]] || classes+='|test'
    has_node || classes+='|node'
    sed -nE "s/^([a-z0-9.+-]+) # ($classes):.*/\1/p" scripts/packages.txt
}

is_installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_packages() {
    local present
    present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null |
        sed -n 's/^installed //p' | sort -u)
    comm -23 <(wanted_packages | sort -u) <(printf '%s\n' "$present")
}

as_root() {
    if [[ $EUID == 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Debian starts a service as soon as its package is installed. A service that this run brings
# in is neither started nor enabled; one that was there before is left as it is.
policy=/usr/sbin/policy-rc.d
held=()

hold_services() {
    is_installed mosquitto || held+=(mosquitto)
    is_installed cups-daemon || held+=(cups)
    is_installed cups-browsed || held+=(cups-browsed)
    if [[ ${#held[@]} == 0 || -e $policy ]]; then
        return # a policy of the machine's own (a container, an image build) goes first
    fi
    trap release_services EXIT
    as_root tee "$policy" >/dev/null <<POLICY
#!/bin/sh
# Put here by kioskd's scripts/setup.sh for the time of its apt run; safe to delete.
for word; do
    for held in ${held[*]}; do
        case "\$word" in "\$held" | "\$held".*) exit 101 ;; esac
    done
done
exit 0
POLICY
    as_root chmod 755 "$policy"
}

release_services() {
    if grep -qs "kioskd's scripts/setup.sh" "$policy"; then
        as_root rm -f "$policy"
    fi
}

disable_held_services() {
    local name suffix
    for name in "${held[@]}"; do
        for suffix in service socket path; do
            if [[ -e /lib/systemd/system/$name.$suffix ]]; then
                as_root systemctl --quiet disable "$name.$suffix" 2>/dev/null || true
            fi
        done
        say "$name is installed but off (kioskd starts its own for the demo and the tests);" \
            "to use it yourself: sudo systemctl enable --now $name"
    done
}

install_packages() {
    local missing
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "this is not Debian: install the like of scripts/packages.txt yourself"
        return
    fi
    mapfile -t missing < <(missing_packages)
    if [[ ${#missing[@]} == 0 ]]; then
        return
    fi
    say "Debian packages are missing: ${missing[*]} (scripts/packages.txt says why each)"
    if [[ $EUID != 0 ]] && ! command -v sudo >/dev/null; then
        fail "installing them needs root, and there is no sudo. As root, run:" \
            "  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    fi
    [[ $EUID == 0 ]] || say "installing them through sudo, which may ask for your password"
    hold_services
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends "${missing[@]}"
    release_services
    disable_held_services
}

# --- Python ----------------------------------------------------------------------------

python_version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'; }

install_python() {
    local want version
    command -v "$python" >/dev/null || fail "there is no $python: name another one by PYTHON="
    version=$(python_version "$python")
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is Python $version; kioskd needs 3.11 or newer (PYTHON= names another one)"
    want=$({ printf '%s\n' "$PWD" "$version" && cat requirements.lock scripts/build.lock pyproject.toml; } | digest)
    if is_done python "$want" && [[ -x .venv/bin/kioskd ]]; then
        return
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1 ||
        [[ $(python_version .venv/bin/python) != "$version" ]]; then
        say "making .venv with Python $version"
        "$python" -m venv --clear .venv
    fi
    say "installing the Python libraries of requirements.lock into .venv (a minute or two at first)"
    # What is built from source (python-sane, pycups, kioskd) is built with the locked
    # setuptools: pip's own build isolation would fetch one without a hash.
    local pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check install)
    "${pip[@]}" --require-hashes -r scripts/build.lock
    "${pip[@]}" --require-hashes --no-build-isolation -r requirements.lock
    # compat: a plain .pth line, which type checkers and editors can follow too
    "${pip[@]}" --no-deps --no-build-isolation -C editable_mode=compat -e .
    set_done python "$want"
}

# --- Web pages -------------------------------------------------------------------------

web_sources() {
    find kioskd/web \( -name node_modules -o -name dist \) -prune -o -type f -print0 |
        sort -z | xargs -0 sha256sum
}

install_web() {
    local libraries pages
    libraries=$({ printf '%s\n' "$PWD" && cat kioskd/web/package.json kioskd/web/package-lock.json; } | digest)
    if ! is_done npm "$libraries" || [[ ! -d kioskd/web/node_modules ]]; then
        say "fetching the web pages' libraries (npm ci)"
        (cd kioskd/web && npm ci --no-audit --no-fund --loglevel=error)
        set_done npm "$libraries"
    fi
    pages=$(web_sources | digest)
    if ! is_done web "$pages" || [[ ! -d kioskd/web/dist ]]; then
        say "building the web pages (kioskd/web/dist)"
        (cd kioskd/web && npm run --silent build)
        set_done web "$pages"
    fi
}

case $purpose in
    demo | test) ;;
    *) fail "usage: scripts/setup.sh [demo|test]" ;;
esac
install_packages
install_python
install_web
say "ready for: make $purpose"
