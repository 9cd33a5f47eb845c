#!/bin/sh
# The name that the recovery guide has for ailee-drill, which is in AILEE_BIN, beside this
# file, on PATH, or in the source tree in bin/.
here=$(dirname "$(readlink -f "$0")")
on_path=$(command -v ailee-drill)
for drill in "${AILEE_BIN:-$here}/ailee-drill" "$here/ailee-drill" "$on_path" "$here/../bin/ailee-drill"; do
    if [ -x "$drill" ]; then
        exec "$drill" "$@"
    fi
done
echo "test_recovery.sh: error: ailee-drill is missing" >&2
echo "test_recovery.sh: hint: install it, or set AILEE_BIN to the folder of the ailee tools" >&2
exit 1
