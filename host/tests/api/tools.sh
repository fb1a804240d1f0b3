#!/usr/bin/env bash
#
# Makes sure that a tool of the API's tests is there, and prints where on standard output.
#
#   host/tests/api/tools.sh python     a directory with the programs of requirements.txt
#   host/tests/api/tools.sh node       a directory with the packages of package-lock.json
#   host/tests/api/tools.sh chromium   a browser: CHROMIUM, one on the PATH, or Debian's where this is run as root
#
# What is fetched goes into target/api-tools, and is fetched anew when its list has changed; where all is there
# already this takes no time. Names no server: pip, npm and apt-get use those that this machine is configured for.
# Exit code 0: it is there. Otherwise it is not, and the last line on stderr says what is missing and how to get it;
# running it again is always safe.

set -euo pipefail

# A registry that does not answer must not hold up the tests.
readonly LIMIT=(timeout --kill-after=10s 600s)

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
tools=${CARGO_TARGET_DIR:-$here/../../../target}/api-tools
mkdir -p -- "$tools"
tools=$(cd -- "$tools" && pwd)
log=$tools/${1:-}.log

main() {
    case ${1:-} in
    python | node | chromium) alone "get_$1" ;;
    *) fail "say which tool: python, node or chromium" ;;
    esac
}

# Two test runs at once must not fetch into the same place. Where there is no flock, they are not told apart.
alone() {
    exec 9>"$tools/$1.lock"
    if command -v flock >/dev/null; then "${LIMIT[@]}" flock 9 || fail "another run holds $tools/$1.lock: wait for it"; fi
    "$1"
}

get_python() {
    local place=$tools/venv list=$here/requirements.txt
    if ! cmp -s -- "$list" "$place/requirements.txt"; then
        command -v python3 >/dev/null || fail "python3 is missing: install Python 3.11 or later, with venv"
        rm -rf -- "$place"
        say "fetching schemathesis and openapi-spec-validator"
        try python3 -m venv "$place" || fail_with_log "python3 -m venv failed (Debian, Ubuntu: install python3-venv)"
        try "$place/bin/pip" install --quiet --requirement "$list" ||
            fail_with_log "pip can't install $list: see that pip reaches its index"
        # Last, so that a fetch that was cut short is known for one.
        cp -- "$list" "$place/requirements.txt"
    fi
    echo "$place/bin"
}

get_node() {
    local place=$tools/node
    command -v node >/dev/null && command -v npm >/dev/null || fail "node or npm is missing: install Node.js 20 or later"
    if ! cmp -s -- "$here/package-lock.json" "$place/fetched.json"; then
        mkdir -p -- "$place"
        rm -f -- "$place/fetched.json"
        cp -- "$here/package.json" "$here/package-lock.json" "$place/"
        say "fetching playwright-core and @asyncapi/parser"
        try npm ci --ignore-scripts --no-audit --no-fund --prefix "$place" ||
            fail_with_log "npm can't install $here/package-lock.json: see that npm reaches its registry"
        cp -- "$here/package-lock.json" "$place/fetched.json"
    fi
    echo "$place/node_modules"
}

get_chromium() {
    if found; then return; fi
    local install=(apt-get install --yes --quiet --no-install-recommends chromium)
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        say "installing Debian's chromium"
        export DEBIAN_FRONTEND=noninteractive
        try "${install[@]}" || { try apt-get update --quiet && try "${install[@]}"; } || true
        if found; then return; fi
    fi
    fail "Chromium is missing: install it (Debian: apt-get install chromium), or set CHROMIUM to the program"
}

# Prints the browser that is there, if one is.
found() {
    if [[ -n ${CHROMIUM:-} ]]; then
        command -v "$CHROMIUM" || fail "CHROMIUM is $CHROMIUM, which can't be run"
        return
    fi
    local name
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name"; then return; fi
    done
    return 1
}

try() { "${LIMIT[@]}" "$@" >"$log" 2>&1 </dev/null; }

say() { printf 'tools: %s\n' "$*" >&2; }

fail_with_log() {
    tail -n 20 "$log" >&2
    fail "$@"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

main "$@"
