# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts use what is set here
# What the scripts share, sourced by each: how they speak, where the tools are, and
# what counts as a good snapshot file and a good database.

set -euo pipefail
shopt -s nullglob
# Names sort by their bytes, and times in names do not repeat when a clock is put
# back for the winter.
export LC_ALL=C TZ=UTC
umask 077

script=${0##*/}
here=$(dirname "$(readlink -f "$0")")
# In the source tree the tools are in ../bin, installed in ../../bin.
PATH=${AILEE_BIN:+$AILEE_BIN:}$PATH:$here/../bin:$here/../../bin

data_dir=${AILEE_DATA_DIR:-/var/lib/ailee}
backup_dir=${AILEE_BACKUP_DIR:-}
json=false
# Also where a flag in front of it is wrong.
[[ " $* " != *" --json "* ]] || json=true
quiet=false
exit_code=0
output_failed=false
errors=() # JSON objects

now=${AILEE_NOW:-}
[[ $now =~ ^[0-9]+$ ]] || printf -v now '%(%s)T' -1

exit_status='EXIT STATUS:
   0  done, or verified
   1  could not do the job (usage, input, I/O); nothing that existed is changed
   2  the check was made and the data is wrong'

# printable TEXT prints it fit for a terminal and as one line: control characters, also
# those of two bytes in UTF-8, become question marks, and what is no UTF-8 is left out.
printable() {
    local text=${1//[[:cntrl:]]/?}
    text=${text//$'\xc2'[$'\x80'-$'\x9f']/?}
    [[ $text != *[$'\x80'-$'\xff']* ]] || text=$(iconv -c -f UTF-8 -t UTF-8 <<<"$text") || true
    printf '%s' "$text"
}

# A script that cannot say what it does goes on all the same: it could be half-way
# through a replacement.
trap '' PIPE
print() { $quiet || $json || printf '%s\n' "$(printable "$1")" 2>/dev/null || output_failed=true; }
warn() { $quiet || say "$script: warning: $(printable "$1")"; }
hint() { say "$script: hint: $(printable "$1")"; }
say() { printf '%s\n' "$1" >&2 2>/dev/null || true; }

# problem CODE MESSAGE [HINT] says what is wrong; the script goes on.
problem() {
    say "$script: error: $(printable "$2")"
    [[ -z ${3-} ]] || hint "$3"
    note "$@"
}

# note CODE MESSAGE [HINT] keeps it for the document and the exit status: of two, the
# higher.
note() {
    (($1 <= exit_code)) || exit_code=$1
    errors+=("{\"message\": $(json_string "$2"), \"hint\": $(json_string "${3-}")}")
}

# fail CODE MESSAGE [HINT] says what is wrong and ends the script.
fail() {
    problem "$@"
    finish
}

# usage_error MESSAGE ends the script.
usage_error() { fail 1 "$1" "$script --help shows the usage"; }

# finish [FIELD...] ends the script; with --json it prints the document of the
# fields, each '"name": value'.
finish() {
    if $json; then
        local field text='{'
        for field in "$@" "\"errors\": $(json_list ${errors[@]+"${errors[@]}"})"; do
            text+=$'\n'"  $field,"
        done
        printf '%s\n  "exit_code": %d\n}\n' "$text" "$exit_code" 2>/dev/null || output_failed=true
    fi
    ! $output_failed || problem 1 "cannot write to standard output" "what this run had to do is done, but for the errors above: look before you run it again"
    exit "$exit_code"
}

# json_string TEXT prints a JSON string, printable.
json_string() {
    local text backslash=\\
    text=$(printable "$1")
    text=${text//"$backslash"/"$backslash$backslash"}
    text=${text//\"/"$backslash\""}
    printf '"%s"' "$text"
}

# json_list VALUE... prints an array of JSON values.
json_list() {
    local IFS=,
    printf '[%s]' "$*"
}

# takes_value FLAG [VALUE] ends the script when the value is missing.
takes_value() { (($# > 1)) || usage_error "the flag $1 has no value"; }

# common_flag FLAG... takes a flag that all scripts have from the front of the
# arguments, sets shifts to how many it took, or ends the script.
common_flag() {
    shifts=1
    case $1 in
    --data-dir) takes_value "$@" && data_dir=$2 && shifts=2 ;;
    --json) ;; # looked for above
    --quiet | -q) quiet=true ;;
    --help | -h) help && exit 0 ;;
    --version) version && exit 0 ;;
    -*) usage_error "unknown flag: $1" ;;
    *) usage_error "too many arguments: $1" ;;
    esac
}

# version prints that of the tools: scripts and tools are installed together.
version() {
    need ailee_l2_verify
    local text
    text=$(ailee_l2_verify --version)
    echo "$script ${text#* }"
}

# split_flag FLAG=VALUE ARGUMENT... sets arguments with flag and value apart.
split_flag() { arguments=("${1%%=*}" "${1#*=}" "${@:2}"); }

# number FLAG VALUE LEAST ends the script when the value is no such number.
number() {
    if [[ ! $2 =~ ^[0-9]{1,15}$ ]] || ((10#$2 < $3)); then
        usage_error "$1 $2 is not a number from $3 on"
    fi
}

# need TOOL... ends the script when a tool is missing.
need() {
    local tool
    for tool in "$@"; do
        [[ -n $(type -P "$tool") ]] || fail 1 "$tool is missing" "install it, or set AILEE_BIN to the folder of the ailee tools"
    done
}

# quietly COMMAND... runs a command and sets message to what it says, without the
# name of a tool in front, and advice to its hint. Nothing is written: the disk may be full. Killed, a command
# has said nothing: it could not do its job. Nor could a tool that exits with 2 and
# says no error: so do programs in Go that the system gives no memory or thread.
quietly() {
    local code=0
    advice=
    message=$("$@" 2>&1) || code=$?
    if ((code > 2)); then
        message=${message:-$1 ended with status $code}
        code=1
    fi
    [[ ! $message =~ ': hint: '([^$'\n']*) ]] || advice=${BASH_REMATCH[1]}
    [[ ! $message =~ [^[:space:]][^$'\n']* ]] || message=${BASH_REMATCH[0]}
    ((code != 2)) || [[ $1 != ailee_* || $message == "$1: error: "* ]] || code=1
    message=${message#*: error: }
    return "$code"
}

# field NAME prints the first value of that name in the JSON of a tool. Their strings
# have no raw newline, so that nothing in a value looks like a line of its own.
field() { sed -n '/^ *"'"$1"'": /{s/^[^:]*: //;s/,$//;s/^"\(.*\)"$/\1/;p;q;}'; }

# not_checked TOOL DOCUMENT makes check_code 1 where a tool came to no verdict, and checked
# false where it did not even say so: one that the system gave no memory or thread exits
# with 2 as well.
not_checked() {
    local said
    message=${message:-$1 ended with status $check_code}
    said=$(field exit_code <<<"$2")
    [[ -n $said ]] || checked=false
    [[ $check_code == 2 && $said == 2 ]] || check_code=1
}

# check_snapshots FILE verifies the snapshot that a node would load. True when its
# root and anchor hold: which anchors peg-outs may name cannot be told from a file
# that was pruned, and no damage is behind it. It sets message (what is wrong),
# snapshot_end (the byte behind the snapshot), snapshot_ms, torn_tail (its offset and
# length, "" for none), pegouts_open (whether a peg-out names no anchor of the file),
# check_code, checked.
check_snapshots() {
    local document verdict offset size
    check_code=0 checked=true
    document=$(ailee_l2_verify --accept-earlier-anchors --json --snapshot "$1" 2>/dev/null) || check_code=$?
    verdict=$(field verdict <<<"$document")
    message=${verdict:-$(field message <<<"$document")}
    pegouts_open=false
    [[ $verdict != 'peg-out mismatch' ]] || pegouts_open=true
    snapshot_ms=$(field timestamp_ms <<<"$document")
    offset=$(field offset <<<"$document")
    size=$(field size <<<"$document")
    snapshot_end=$((${offset:-0} + ${size:-0}))
    torn_tail=$(sed -n '/^ *"kind": "\(torn-tail\|missing-newline\)"/,/}/p' <<<"$document" | sed -n 's/^ *"\(offset\|length\)": \([0-9]*\).*/\2/p' | tr '\n' ' ')
    case $check_code,$verdict in
    0,valid | 2,'peg-out mismatch') return 0 ;;
    esac
    not_checked ailee_l2_verify "$document"
    return 1
}

# check_database DIR [FLAG...] verifies a database. True when nothing is damaged:
# records that no node can read are the node's own. It sets message (what is wrong),
# document, check_code, checked, and advice where it could not be verified.
check_database() {
    check_code=0 checked=true advice=
    document=$(ailee_reorg_verify --json --recent 0 --db-path "$@" 2>/dev/null) || check_code=$?
    message=$(field message <<<"$document")
    case $check_code,$(field exit_code <<<"$document"),$(field damage <<<"$document") in
    0,0, | 2,2,) [[ $document != *'"error": {'* ]] && return 0 ;;
    esac
    not_checked ailee_reorg_verify "$document"
    [[ $message != *"not a RocksDB database"* ]] || check_code=2
    ((check_code == 2)) || advice=$(field hint <<<"$document")
    return 1
}

# list_backups KIND sets backups to those of a kind, the oldest first.
list_backups() {
    local file pattern
    case $1 in
    snapshots) pattern='^l2_snapshots_[0-9]{8}_[0-9]{6}\.dat\.bak(\.gz)?$' ;;
    database) pattern='^reorg_db_[0-9]{8}_[0-9]{6}\.tar\.gz$' ;;
    esac
    backups=()
    for file in "$backup_dir"/*; do
        [[ ! ${file##*/} =~ $pattern || ! -f $file ]] || backups+=("$file")
    done
}
