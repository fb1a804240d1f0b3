#!/usr/bin/env bash
#
# Makes sure that `cargo build --target wasm32-wasip2` works with the Rust toolchain in use, in the
# present directory: `saga doctor --fix` calls it.
#
# Does nothing if it does already. Otherwise asks rustup for the target. Where rustup's server
# cannot be reached, but a Debian package mirror can, it builds the target's standard library from
# Debian's copy of the Rust sources and puts it where rustup would have. Nothing is installed into
# the system: packages are only unpacked, in a temporary directory.
#
# Knows nothing of this project's crates, and names no server: rustup, cargo and apt use the ones
# that this machine is configured for. Exit code 0: the target works. Otherwise it does not, and
# the last lines on stderr say what to do; running it again is always safe.

set -euo pipefail

readonly TARGET=wasm32-wasip2
readonly STALLED_AFTER_SECONDS=15
# Backports has many rustc versions at once, so it is the likeliest; sid and forky have the latest.
readonly SUITES=(trixie-backports sid forky trixie)

work=''
staged=''
rustup_pid=''

# Steps that must not fail halfway are called plainly, never in a condition, where bash would
# ignore `set -e`.
main() {
    if ! command -v rustc >/dev/null || ! command -v cargo >/dev/null; then
        fail "rustc and cargo are not on the PATH." "Install Rust (stable), then run this again."
    fi
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    work=$(mktemp -d)
    if target_works; then return; fi

    rustlib=$(rustc --print sysroot)/lib/rustlib
    place=$rustlib/$TARGET
    stamp=$place/made-by-wasm-target.sh
    release=$(rustc -vV | sed -n 's/^release: //p')
    make_room
    if install_with_rustup && target_works; then
        say "done"
        return
    fi
    install_from_debian
    say "done"
}

# Whether rustc can turn a trial program into a component.
target_works() {
    printf 'pub fn greet() { println!("hello"); }\n' >"$work/trial.rs"
    rustc --target "$TARGET" --crate-type cdylib -Cpanic=abort \
        -o "$work/trial.wasm" "$work/trial.rs" >"$work/log" 2>&1
}

# `rustup update` replaces rustc but leaves a target made by this script behind, which the new
# rustc cannot read. A target that came from elsewhere is not ours to remove.
make_room() {
    if [[ ! -w $rustlib ]]; then
        fail "the target $TARGET is missing and $rustlib is not writable." \
            "Run this as the owner of the Rust toolchain, or ask them to run: rustup target add $TARGET"
    elif [[ -f $stamp ]]; then
        rm -rf -- "$place"
    elif [[ -e $place ]]; then
        fail_with_log "$place exists, but a trial program does not build with it (see above)." \
            "Remove it (rustup target remove $TARGET), then run this again."
    fi
}

install_with_rustup() {
    command -v rustup >/dev/null || return 1
    say "adding the Rust target $TARGET with rustup"
    local home progress='' now last_progress=$SECONDS stalled='' status=0
    home=$(rustup show home)
    rustup target add "$TARGET" >"$work/log" 2>&1 &
    rustup_pid=$!
    # Without a reachable server rustup would wait for many minutes. A slow download is fine.
    while kill -0 "$rustup_pid" 2>/dev/null; do
        sleep 0.5
        now=$(du -sk "$home/downloads" "$home/tmp" 2>/dev/null || true)
        if [[ $now != "$progress" ]]; then
            progress=$now
            last_progress=$SECONDS
        elif ((SECONDS - last_progress >= STALLED_AFTER_SECONDS)); then
            stalled=yes
            kill "$rustup_pid" 2>/dev/null || true
            break
        fi
    done
    wait "$rustup_pid" || status=$?
    rustup_pid=''
    if [[ -n $stalled ]]; then
        say "rustup's server did not answer"
    elif ((status != 0)); then
        say "rustup could not: $(grep -m1 '^error' "$work/log" || tail -n 1 "$work/log")"
    fi
    return "$status"
}

install_from_debian() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        give_up "this system has no apt-get to get Debian's packages with"
    elif [[ $release == *-* ]]; then
        give_up "Debian has no sources for rustc $release, only for stable releases"
    fi
    say "making the target from Debian packages instead: one to three minutes, once"
    download_packages || give_up "no Debian suite that can be reached has both rust-src $release and wasi-libc"

    say "unpacking"
    local package
    for package in "$work"/debs/*.deb; do
        dpkg-deb -x "$package" "$work/unpacked"
    done
    build_std "$work/unpacked/usr/src/rustc-$release/library"
    put_in_place
}

# Leaves rust-src for exactly this rustc, and wasi-libc, in $work/debs.
download_packages() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg options='' mirrors mirror suite
    if [[ -f $keyring ]]; then options="[signed-by=$keyring] "; fi
    mkdir -p "$work"/apt/{lists/partial,cache/archives/partial} "$work/debs"
    : >"$work/apt/status"
    : >"$work/apt/sources.list"

    # The mirrors are this machine's own; none of its other apt state is used or touched.
    mirrors=$(apt-get update --print-uris 2>/dev/null | sed -n "s|^'\(.*/\)dists/.*InRelease'.*|\1|p" | sort -u)
    for mirror in $mirrors; do
        if [[ $mirror == *-security/ ]]; then continue; fi
        for suite in "${SUITES[@]}"; do
            say "looking for rust-src $release and wasi-libc in $suite"
            printf 'deb %s%s %s main\n' "$options" "$mirror" "$suite" >"$work/apt/sources.list"
            apt update || continue
            (cd "$work/debs" && apt download "rust-src=$release*" wasi-libc) && return
            rm -f -- "$work"/debs/*
        done
    done
    return 1
}

apt() {
    apt-get -qq \
        -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$work/apt" -o Dir::State::lists="$work/apt/lists" \
        -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" \
        -o APT::Default-Release= -o APT::Sandbox::User="$(id -un)" -o APT::Update::Error-Mode=any \
        -o Acquire::Languages=none -o Acquire::Retries=1 \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        "$@" >"$work/log" 2>&1
}

# Compiles std from the given sources into $work/target, by way of an empty crate that needs it.
build_std() {
    say "compiling the standard library for $TARGET"
    mkdir -p "$work/empty/src"
    printf '#![no_std]\n' >"$work/empty/src/lib.rs"
    printf '[package]\nname = "empty"\nedition = "2021"\n[workspace]\n' >"$work/empty/Cargo.toml"
    # Bitcode: the libraries must serve builds with link-time optimisation too.
    # Build-std is unstable, hence the bootstrap switch; the sources are this very compiler's.
    env -u CARGO_ENCODED_RUSTFLAGS -u MAKEFLAGS -u CARGO_MAKEFLAGS \
        RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes __CARGO_TESTS_ONLY_SRC_ROOT="$1" \
        cargo build --release --target "$TARGET" -Zbuild-std=std,panic_abort,proc_macro \
        --manifest-path "$work/empty/Cargo.toml" --target-dir "$work/target" >"$work/log" 2>&1 ||
        fail_with_log "the standard library does not compile (see above)."
}

# One rename makes the finished target appear, so that nobody ever sees half of it.
put_in_place() {
    staged=$rustlib/.$TARGET.$$
    mkdir -p "$staged/lib/self-contained"
    rm -f -- "$work/target/$TARGET/release/deps"/libempty-*
    cp -- "$work/target/$TARGET/release/deps"/*.rlib "$staged/lib/"
    cp -R -- "$work/unpacked/usr/lib/$TARGET/." "$staged/lib/self-contained/"
    : >"$staged/${stamp##*/}"
    # The rename is refused if another run of this script was faster: its result serves as well.
    mv -T -- "$staged" "$place" 2>/dev/null || true

    if ! target_works; then
        rm -rf -- "$place"
        fail_with_log "no component builds with the new target (see above); it was removed again."
    fi
}

say() { printf 'wasm-target: %s\n' "$*" >&2; }

give_up() {
    fail "neither could rustup install the Rust target $TARGET, nor could this script make it: $1." \
        "Do one of these, then run this again:" \
        "  - where rustup's server can be reached: rustup target add $TARGET" \
        "  - copy $place from a machine with the same rustc ($release)"
}

fail_with_log() {
    tail -n 20 "$work/log" >&2
    fail "$@"
}

fail() {
    say "error: $1"
    shift
    if (($# > 0)); then printf '  %s\n' "$@" >&2; fi
    exit 1
}

clean_up() {
    if [[ -n $rustup_pid ]]; then kill "$rustup_pid" 2>/dev/null || true; fi
    if [[ -n $staged ]]; then rm -rf -- "$staged"; fi
    if [[ -n $work ]]; then rm -rf -- "$work"; fi
}

main "$@"
