#!/usr/bin/env bash
# Remakes what README.md shows of `bottleneck compare`: `client/pictures/remake.sh FOLDER`, where FOLDER holds the
# pictures of the Kodak set. It needs the tools that are compared with, and Chromium; for the links, root.
set -euo pipefail
cd "$(dirname "$0")/../.."
pictures=${1:?the folder of the Kodak pictures is missing}
report=${2-}
if [[ -z $report ]]; then
    report=$(mktemp -d)
    cargo build --release -p bottleneck-client --features compare
    # 3: a picture or a codec was left out, which the report says.
    "${CARGO_TARGET_DIR:-target}/release/bottleneck" compare "$pictures" --report "$report" --network \
        --browser "${CHROMIUM:-chromium}" >/dev/null || [[ $? == 3 ]]
fi

section() { awk -v title="## $1" '$0 == title { on = 1; next } /^## / { on = 0 } on' "$report/report.md"; }
table() { section "$1" | grep '^|'; }
made=$(section 'How it was made' | sed -n 's/^On \(.*\)\. All metrics.*/\1/p')
{
    echo '<!-- begin: client/pictures/remake.sh -->'
    echo 'Bytes at the same quality, that of each picture as a JPEG of quality 75 by SSIMULACRA2 (a saving above zero is in our favour; medians and percentiles are over pictures):'
    echo
    table 'Savings at equal quality' | cut -d'|' -f1-8 | sed 's/$/|/'
    echo
    echo 'BD-rate, bits over the whole curve at an equal metric (in brackets its range; less is better for us):'
    echo
    table 'Rate and distortion'
    echo
    echo '![Curves of SSIMULACRA2 over bits per pixel](client/pictures/kodak.svg)'
    echo
    echo 'Whole programs: processor time of one core, and time that passes on all (what else the machine did counts there):'
    echo
    table 'Time and memory'
    echo
    echo "Made with \`client/pictures/remake.sh\` on $made, with these versions:"
    echo
    table 'How it was made'
    echo '<!-- end: client/pictures/remake.sh -->'
} >"$report/readme.md"
cp "$report/curve-ssimulacra2.svg" client/pictures/kodak.svg
awk -v new="$report/readme.md" '
    /<!-- begin: client\/pictures\/remake.sh/ { while ((getline line < new) > 0) print line; skip = 1 }
    !skip { print }
    /<!-- end: client\/pictures\/remake.sh/ { skip = 0 }' README.md >"$report/README.md"
cp "$report/README.md" README.md
