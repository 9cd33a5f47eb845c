#!/bin/sh
# Runs ailee-drill, which the recovery guide calls test_recovery.sh. It is in AILEE_BIN, next
# to this file, on PATH, or in bin/ of the source tree, under its own name or as part of the
# program ailee.
here=$(dirname "$(readlink -f "$0")")
on_path=$(command -v ailee-drill || command -v ailee)
for folder in "${AILEE_BIN:-$here}" "$here" "${on_path%/*}" "$here/../bin"; do
    if [ -x "$folder/ailee-drill" ]; then
        exec "$folder/ailee-drill" "$@"
    elif [ -f "$folder/ailee" ] && [ -x "$folder/ailee" ]; then
        exec "$folder/ailee" ailee-drill "$@"
    fi
done
echo "test_recovery.sh: error: ailee-drill is missing" >&2
echo "test_recovery.sh: hint: install it, or set AILEE_BIN to the folder of the ailee tools" >&2
exit 1
