#!/usr/bin/env bash
# Builds the decoder for browsers into client/web/wasm. What it makes is committed, so that nobody who runs
# or changes the server needs this; `--check` tells whether the committed files are of the current sources.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
out=client/web/wasm
target=wasm32-unknown-unknown

# Versions of everything that is compiled into the module, of our own crates too.
dependencies() {
    cargo tree --locked -p bottleneck-web --target $target -e normal,build --prefix none -f '{p} {f}' |
        sed -E 's/ \(([^)]*)\)//g' | sort -u
}

if [[ ${1-} == --check ]]; then
    grep -q model/src/decode.rs $out/sources.sha256 && sha256sum --check --quiet $out/sources.sha256 &&
        diff $out/dependencies.txt <(dependencies) || {
        echo "client/web/wasm is not built from these sources: run client/web/build.sh" >&2
        exit 1
    }
    exit 0
fi

# 1 GiB is the most that a hostile code can make the decoder allocate.
flags=(-Ctarget-feature=+simd128 -Clink-arg=--max-memory=1073741824 -Clink-arg=-zstack-size=1048576)
# No paths of this machine in the texts of panics.
flags+=("--remap-path-prefix=$PWD/=")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do flags+=("--remap-path-prefix=$registry="); done
build=(cargo build --locked -p bottleneck-web --profile wasm --target $target)
if rustup target add $target 2>/dev/null; then
    RUSTFLAGS="${flags[*]}" "${build[@]}"
elif ls -d /usr/src/rustc-*/library >/dev/null 2>&1; then
    # Debian's packages rustc-web and rust-web-src: the standard library is built from its source.
    lld=$(find "$(rustc --print sysroot)" -name rust-lld | head -n 1)
    flags+=("-Clinker=$lld")
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" "${build[@]}" -Zbuild-std=std,panic_abort
else
    echo "no Rust for $target: run 'rustup target add $target', or install Debian's rustc-web and rust-web-src" >&2
    exit 1
fi

version=$(cargo tree --locked -p bottleneck-web --target $target -i wasm-bindgen --depth 0 | sed 's/.* v//')
if [[ $(wasm-bindgen --version 2>/dev/null) != "wasm-bindgen $version" ]]; then
    cargo install wasm-bindgen-cli --version "$version" --debug
fi
built=$(realpath "${CARGO_TARGET_DIR:-target}")/$target/wasm
wasm-bindgen --target web --remove-name-section --remove-producers-section --out-dir $out "$built/bottleneck_web.wasm"

# The compiler says which files it read. The embedded model is not used in browsers, and dropped by the linker.
{
    grep "^$built/bottleneck_web.wasm:" "$built/bottleneck_web.d" | tr ' ' '\n' | sed -n "s|^$PWD/||p" |
        grep -v -e '\.safetensors$' -e ':$'
    ls client/web/build.sh {proto,model,client/web}/Cargo.toml $out/*.wasm $out/*.js
} | sort -u | xargs sha256sum >"$built/sources.sha256"
grep -q model/src/decode.rs "$built/sources.sha256"
cp "$built/sources.sha256" $out/
dependencies >$out/dependencies.txt
