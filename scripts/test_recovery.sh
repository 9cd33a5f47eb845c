#!/usr/bin/env bash
# shellcheck source=ailee-common.bash
. "$(dirname "$(readlink -f "$0")")/ailee-common.bash"

help() {
    cat <<HELP
test_recovery.sh - drill the recovery of an AILEE node, on data of its own

USAGE:
   test_recovery.sh --mode MODE [flags]

   Makes a data directory, breaks it, recovers it with the tools and checks the
   result, a line for each step. It never touches a directory that it did not make.

      crash       writers of the snapshot file and of the database are killed
                  anywhere in the middle
      reorg       Bitcoin replaces blocks while the node is down
      corruption  the snapshot file, the database or both are damaged

   The chain is that of bitcoind or btcd in regression test mode, where one is on
   PATH, else one that is made up (ailee_drill_chain).

FLAGS:
   --mode MODE         what to drill: crash, reorg or corruption
   --data-dir DIR      make the data in DIR, which must be missing, empty or of an earlier drill, and leave it there (default: a temporary folder)
   --reorg-depth N     with --mode reorg, replace the last N blocks, 1 to 100 (default: 3)
   --corrupt-snapshot  with --mode corruption, damage the snapshot file (default: this and the database)
   --corrupt-db        with --mode corruption, damage the database
   --json              print the result as one JSON document, also on failure (default: false)
   --quiet, -q         print errors only (default: false)
   --help, -h          show help
   --version           print version, commit and Go version

ENVIRONMENT:
   AILEE_BIN  the folder of the ailee tools, when they are not on PATH
   TMPDIR     where the temporary folder is made, in place of /tmp

FILES:
   .ailee_test_recovery  in a folder that a drill made: only such a folder is used again

EXAMPLES:
   # Crashes in the middle of writing; the data of the drill stays in /tmp/ailee_test
   test_recovery.sh --mode crash --data-dir /tmp/ailee_test | tail -n 1
   # Bitcoin replaces three blocks
   test_recovery.sh --mode reorg --reorg-depth 3
   # The latest snapshot is changed, then the file emptied
   test_recovery.sh --mode corruption --corrupt-snapshot

EXIT STATUS:
   0  recovered
   1  could not run the drill
   2  something was not recovered

SEE ALSO:
   ailee-backup, ailee-restore, ailee_drill_chain
HELP
}

# The node's own directory is nobody's default here, nor its Bitcoin node.
unset AILEE_DATA_DIR AILEE_BACKUP_DIR AILEE_NOW "${!BITCOIN_@}"
data_dir=
mode=
depth=
corrupt_snapshot=false
corrupt_db=false
arguments=("$@")
while ((${#arguments[@]})); do
    set -- "${arguments[@]}"
    case $1 in
    --*=*) split_flag "$@" && continue ;;
    --mode) takes_value "$@" && mode=$2 && shift ;;
    --reorg-depth) takes_value "$@" && number "$1" "$2" 1 && depth=$((10#$2)) && shift ;;
    --corrupt-snapshot) corrupt_snapshot=true ;;
    --corrupt-db) corrupt_db=true ;;
    *) common_flag "$@" && shift $((shifts - 1)) ;;
    esac
    arguments=("${@:2}")
done
case $mode in
crash | reorg | corruption) ;;
'') usage_error "the flag --mode is missing" ;;
*) usage_error "--mode $mode is not crash, reorg or corruption" ;;
esac
if [[ -n $depth ]]; then
    [[ $mode == reorg ]] || usage_error "--reorg-depth goes with --mode reorg only"
    ((depth <= 100)) || usage_error "--reorg-depth $depth is more than 100"
fi
depth=${depth:-3}
if $corrupt_snapshot || $corrupt_db; then
    [[ $mode == corruption ]] || usage_error "--corrupt-snapshot and --corrupt-db go with --mode corruption only"
fi
$corrupt_snapshot || $corrupt_db || { corrupt_snapshot=true && corrupt_db=true; }

# What says that a folder is a drill's, and what a drill makes in it.
marker=.ailee_test_recovery
parts=(node samples before extracted copy bitcoin)
chain_pid=

# end PID SIGNAL ends a process, in silence.
end() { { kill "-$2" "$1" && wait "$1"; } 2>/dev/null || true; }

# clean_up ends the chain, and removes a temporary folder after a drill that passed.
clean_up() {
    [[ -z $chain_pid ]] || end "$chain_pid" TERM
    if $temporary && ((exit_code == 0)); then rm -rf "$data_dir"; fi
}

# foreign prints the first thing in a folder that no drill made.
foreign() {
    local path
    while IFS= read -r -d '' path; do
        [[ " $marker ${parts[*]} " == *" ${path##*/} "* && ! -L $path ]] || { echo "$path" && return; }
    done < <(find "$1" -mindepth 1 -maxdepth 1 -print0)
    # Somebody else's folder may be made to lead elsewhere at any moment.
    [[ -O $1 ]] && { [[ -f $1/$marker ]] || [[ -z $(ls -A "$1") ]]; } || echo "$1"
}

make_stage() {
    local path
    temporary=false
    if [[ -z $data_dir ]]; then
        temporary=true
        data_dir=$(mktemp -d "${TMPDIR:-/tmp}/ailee_test.XXXXXX") || fail 1 "cannot make a temporary folder" "name a folder with --data-dir"
    elif [[ -L $data_dir || ( -e $data_dir && ! -d $data_dir ) ]]; then
        fail 1 "$data_dir is not a directory" "name a folder that is missing or empty"
    fi
    quietly mkdir -p "$data_dir" || fail 1 "cannot make $data_dir: $message" "name another folder with --data-dir"
    data_dir=$(cd "$data_dir" && pwd -P)
    exec {stage_lock}<"$data_dir"
    flock -n "$stage_lock" || fail 1 "another drill is at work in $data_dir" "wait until it is done, or name another folder with --data-dir"
    path=$(foreign "$data_dir")
    [[ -z $path ]] || fail 1 "$data_dir holds what no drill of yours made: $path" "name a folder that is missing or empty"
    quietly touch "$data_dir/$marker" || fail 1 "cannot write to $data_dir: $message" "name another folder with --data-dir"
    trap clean_up EXIT
    trap 'exit_code=1; exit 1' HUP INT TERM
    rm -rf "${parts[@]/#/$data_dir/}"
    node=$data_dir/node
    samples=$data_dir/samples
    snapshot_file=$node/l2_snapshots.dat
    db_path=$node/reorg_db
    mkdir "$samples"
}

steps=() # JSON objects

# step DESCRIPTION COMMAND... runs one step of the drill, which ends with the first
# that fails.
step() {
    if quietly "${@:2}"; then
        print "ok      $1"
        steps+=("{\"step\": $(json_string "$1"), \"passed\": true}")
        return
    fi
    print "FAILED  $1"
    steps+=("{\"step\": $(json_string "$1"), \"passed\": false}")
    problem 2 "$1: ${message:-it did not}" "look at what is there: $data_dir"
    conclude
}

conclude() {
    local verdict=passed
    ((exit_code == 0)) || verdict=failed
    print "Drill $verdict: $mode, ${#steps[@]} steps"
    finish "\"mode\": \"$mode\"" "\"data_dir\": $(json_string "$data_dir")" "\"chain\": \"$chain\"" "\"verdict\": \"$verdict\"" \
        "\"steps\": $(json_list "${steps[@]}")"
}

# exits CODE COMMAND... is true when the command exits so. A tool that does nothing
# is no success: callers look at what it says or leaves.
exits() {
    local code=0
    "${@:2}" || code=$?
    ((code == $1)) || { echo "${*:2} exits with $code, not $1" && return 1; }
}

# says TEXT COMMAND... is true when the command succeeds and its output has the text.
says() {
    local output
    output=$(exits 0 "${@:2}" 2>&1) || { echo "$output" && return 1; }
    [[ $output == *"$1"* ]] || { echo "${*:2} does not say '$1'" && return 1; }
}

# fails_with CODE TEXT COMMAND... is true when it exits so and its output has the
# text.
fails_with() {
    local output
    output=$(exits "$1" "${@:3}" 2>&1) || { echo "$output" && return 1; }
    [[ $output == *"$2"* ]] || { echo "${*:3} does not say '$2'" && return 1; }
}

# same FILE FILE
same() { cmp "$1" "$2"; }

# holds COUNT: the snapshot file has so many snapshots, all valid, and nothing else.
holds() {
    says "Verification OK." ailee_l2_verify --strict --snapshot "$snapshot_file" &&
        says "Newest valid snapshot: $1 of $1" ailee_l2_verify --all --strict --snapshot "$snapshot_file"
}

# database_holds BLOCKS EVENTS
database_holds() {
    says "Blocks: $1, heights 0 to $(($1 - 1)) without a gap" ailee_reorg_verify --db-path "$db_path" &&
        says "Reorg events: $2, next id $2" ailee_reorg_verify --db-path "$db_path"
}

# make_sample K writes the K-th snapshot of the drill, anchored.
make_sample() {
    local i balances=
    for i in 1 2 3 4 5 6 7 8; do
        balances+="{\"peerId\": \"peer-$i\", \"balance\": $(($1 * 1000 + i))},"
    done
    printf '{"snapshotTimestampMs": %d, "ledger": {"balances": [%s], "escrows": []}, "bridge": {"pegins": [], "pegouts": []}, "orchestration": {"tasks": []}}\n' \
        $((1739577600000 + $1)) "${balances%,}" >"$samples/state.json"
    ailee_create_anchor --quiet --l2-state-file "$samples/state.json" --timestamp-ms $((1739577600000 + $1)) --output "$samples/$1.dat" &&
        says "Verification OK." ailee_l2_verify --snapshot "$samples/$1.dat"
}

make_samples() {
    local k
    for ((k = 1; k <= $1; k++)); do make_sample "$k" || return; done
}

append() { cat "$1" >>"$snapshot_file"; }

# build COUNT makes the node's directory with so many snapshots after the first.
build() {
    local k
    step "make $1 anchored snapshots" make_samples "$1"
    step "make the data directory of a node" ailee_init_node --quiet --data-dir "$node"
    step "it verifies" holds 1
    snapshots=1
}

# The chain: port and auth of a real node; height of the tip; url.
chain=
url=
tip=120
start_chain() {
    local kind
    for kind in bitcoind btcd; do
        if [[ -n $(type -P "$kind") ]] && start_node "$kind"; then
            chain=$kind
            print "chain   $kind in regression test mode"
            step "mine $tip blocks" mine "$tip"
            return
        fi
    done
    chain=ailee_drill_chain
    print "chain   no bitcoind or btcd on PATH: a chain that is made up (ailee_drill_chain)"
    need ailee_drill_chain
    serve_made_up 0
}

# serve_made_up REPLACED
serve_made_up() {
    [[ -z $chain_pid ]] || end "$chain_pid" TERM
    # It may outlive a drill that is killed, and is not to keep its lock.
    coproc CHAIN { exec ailee_drill_chain --tip "$tip" --reorg-depth "$1" {stage_lock}<&-; }
    # Both are unset once it has ended.
    local out=${CHAIN[0]-}
    chain_pid=${CHAIN_PID-}
    url=
    [[ -z $out ]] || read -r url <&"$out" 2>/dev/null || true
    step "the chain answers" [ -n "$url" ]
}

# start_node KIND is false when the node does not answer.
start_node() {
    local user=drill password command i
    mkdir -p "$data_dir/bitcoin"
    # Nothing of the login is in a command line or in an environment.
    password=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    printf %s "$password" >"$data_dir/bitcoin/password"
    export BITCOIN_RPC_USER=$user BITCOIN_RPC_PASSWORD_FILE=$data_dir/bitcoin/password
    printf 'rpcuser=%s\nrpcpassword=%s\n' "$user" "$password" >"$data_dir/bitcoin/bitcoin.conf"
    printf '[Application Options]\nrpcuser=%s\nrpcpass=%s\n' "$user" "$password" >"$data_dir/bitcoin/btcd.conf"
    auth=$(printf %s "$user:$password" | base64 -w 0)
    for _ in 1 2 3; do
        # A port that is taken ends the node at once.
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 40000))
        url=http://127.0.0.1:$port
        case $1 in
        bitcoind)
            command=(bitcoind -regtest -datadir="$data_dir/bitcoin" -conf="$data_dir/bitcoin/bitcoin.conf" -server -listen=0
                -dnsseed=0 -rpcbind=127.0.0.1 -rpcallowip=127.0.0.1 -rpcport="$port")
            ;;
        btcd)
            command=(btcd --regtest --nolisten --nodnsseed --notls --configfile="$data_dir/bitcoin/btcd.conf"
                --datadir="$data_dir/bitcoin/data" --logdir="$data_dir/bitcoin/logs" --rpclisten="127.0.0.1:$port"
                --miningaddr="$mining_address")
            ;;
        esac
        HOME=$data_dir/bitcoin "${command[@]}" </dev/null >"$data_dir/bitcoin/output" 2>&1 {stage_lock}<&- &
        chain_pid=$!
        for ((i = 0; i < 300; i++)); do
            [[ -z $(call getblockcount 2>/dev/null) ]] || return 0
            kill -0 "$chain_pid" 2>/dev/null || break
            sleep 0.1
        done
        end "$chain_pid" TERM
        chain_pid=
    done
    warn "$1 does not start: see $data_dir/bitcoin/output"
    return 1
}

# Any address of the regression test network.
mining_address=mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn

# call METHOD [PARAMETERS] asks the node and prints a result that is no object. It is
# false on an error.
call() {
    local answer body="{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"$1\",\"params\":[${2-}]}"
    answer=$(
        exec 5<>"/dev/tcp/127.0.0.1/$port" || exit
        printf 'POST / HTTP/1.0\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
            "$auth" "${#body}" "$body" >&5
        tr -d '\0' <&5
    ) || return
    [[ $answer == *'"error":null'* && $answer =~ \"result\":\"?([^\",}]*) ]] || { echo "${answer##*$'\n'}" && return 1; }
    echo "${BASH_REMATCH[1]}"
}

mine() {
    case $chain in
    bitcoind) call generatetoaddress "$1,\"$mining_address\"" ;;
    btcd) call generate "$1" ;;
    esac
}

# invalidate HEIGHT
invalidate() {
    local hash
    hash=$(call getblockhash "$1") && call invalidateblock "\"$hash\""
}

resync() { ailee_resync_blocks --quiet --bitcoin-rpc "$url" --db-path "$db_path" "$@"; }

# torn_append SAMPLE BYTES appends a sample as a node does, in pieces, by a process
# that is killed after so many bytes. It waits there to be killed.
torn_append() {
    local line=
    coproc WRITER {
        for ((at = 0; at < $2; at += 300)); do
            dd if="$1" bs=1 skip="$at" count=$(($2 - at < 300 ? $2 - at : 300)) status=none >>"$snapshot_file"
        done
        echo torn
        read -r
    }
    # shellcheck disable=SC2153 # set by coproc
    local pid=$WRITER_PID
    read -r line <&"${WRITER[0]}" || true
    end "$pid" KILL
    [[ $line == torn ]]
}

# killed MILLISECONDS TOOL [FLAG...] kills a tool at that moment, if it still runs.
killed() {
    local pid
    "${@:2}" >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' "$1")"
    end "$pid" KILL
}

drill_crash() {
    local size cut k=0 before=$data_dir/before
    build 8
    for cut in 1 5 13 200 400 -200 -13 -1; do
        ((k += 1))
        size=$(stat -c %s "$samples/$k.dat")
        ((cut > 0)) || cut=$((size + cut))
        cp "$snapshot_file" "$before"
        step "kill a writer at byte $cut of $size" torn_append "$samples/$k.dat" "$cut"
        step "the snapshot that a node loads verifies, with a warning" \
            says "a node that appends to this would damage its next snapshot" ailee_l2_verify --snapshot "$snapshot_file"
        # Without its last newline the snapshot is complete all the same.
        ((cut < size - 1)) || append_to "$before" "$samples/$k.dat"
        # Nobody else has this file: the tool need not look for late writers as long as
        # it does otherwise.
        step "mend the file" ailee_prune_snapshots --quiet --in-place --watch 50ms --keep all --file "$snapshot_file"
        step "every complete snapshot is there, and nothing else" same "$before" "$snapshot_file"
        ((cut == size - 1)) || step "the node appends again" append "$samples/$k.dat"
        ((snapshots += 1))
        step "all $snapshots snapshots verify" holds "$snapshots"
    done
    start_chain
    for k in 0 5 10 20 40; do
        step "kill a writer of the database after $k ms" killed "$k" ailee_resync_blocks --quiet --bitcoin-rpc "$url" --db-path "$db_path"
    done
    step "fill the database" resync
    step "it has every block" database_holds $((tip + 1)) 0
    step "kill the copying of a database" killed 10 ailee_init_reorg_db --quiet --path "$data_dir/copy" --copy-from "$db_path"
    step "copy it again" copy_again
    db_path=$data_dir/copy
    step "the copy has every block" database_holds $((tip + 1)) 0
}

append_to() { cat "$2" >>"$1"; }

# copy_again copies unless the killed run had just come to its end.
copy_again() {
    [[ -d $data_dir/copy ]] || ailee_init_reorg_db --quiet --path "$data_dir/copy" --copy-from "$db_path"
}

# reorganise replaces the latest blocks by one more.
reorganise() {
    if [[ $chain == ailee_drill_chain ]]; then
        ((tip += 1))
        serve_made_up $((depth + 1))
    else
        step "take back $depth blocks" invalidate $((tip - depth + 1))
        step "mine $((depth + 1)) others" mine $((depth + 1))
        ((tip += 1))
    fi
}

drill_reorg() {
    build 1
    start_chain
    step "fill the database" resync
    step "it has every block" database_holds $((tip + 1)) 0
    step "it agrees with the chain" says "equal" ailee_resync_blocks --check --bitcoin-rpc "$url" --db-path "$db_path"
    reorganise
    step "the reorg is seen" fails_with 2 "different" ailee_resync_blocks --check --bitcoin-rpc "$url" --db-path "$db_path"
    step "nothing was written by looking" database_holds "$tip" 0
    step "resync, and kill it" killed 10 ailee_resync_blocks --quiet --bitcoin-rpc "$url" --db-path "$db_path"
    step "resync again" resync
    step "the database agrees with the chain" says "equal" ailee_resync_blocks --check --bitcoin-rpc "$url" --db-path "$db_path"
    step "it has every block and $depth reorg events" database_holds $((tip + 1)) "$depth"
}

# damage_balance changes one digit of a balance in the latest snapshot.
damage_balance() {
    local at
    at=$(grep -abo 'balance "peer-8" ' "$snapshot_file" | tail -n 1 | cut -d : -f 1) &&
        printf 9 | dd of="$snapshot_file" bs=1 seek=$((at + 17)) conv=notrunc status=none
}

# scribble FILE BYTE writes over 64 bytes from there on.
scribble() { head -c 64 /dev/zero | tr '\0' x | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

empty() { : >"$1"; }

# put_in_place FILE as operators should: beside it, then renamed.
put_in_place() { cp "$1" "$snapshot_file.new" && mv -f "$snapshot_file.new" "$snapshot_file"; }

drill_corrupt_snapshot() {
    local k
    for k in 1 2 3 4; do step "the node appends snapshot $((k + 1))" append "$samples/$k.dat"; done
    step "all verify" holds 5
    cp "$snapshot_file" "$data_dir/before"
    step "back up" "$here/ailee-backup" --quiet --snapshot-only --data-dir "$node"
    step "change a balance of the latest snapshot" damage_balance
    step "it is seen" fails_with 2 "Anchor state root mismatch" ailee_l2_verify --snapshot "$snapshot_file"
    step "it is not backed up" fails_with 2 "does not verify" "$here/ailee-backup" --snapshot-only --data-dir "$node"
    step "the newest valid snapshot is the one before" fails_with 2 "Newest valid snapshot: 4 of 5" ailee_l2_verify --all --snapshot "$snapshot_file"
    step "extract it" ailee_extract_snapshots --quiet --newest-valid "$snapshot_file" "$data_dir/extracted"
    step "it is the one that was written" same "$data_dir/extracted/snapshot_4.dat" "$samples/3.dat"
    step "put it in place" put_in_place "$data_dir/extracted/snapshot_4.dat"
    step "it verifies" holds 1
    step "empty the snapshot file" empty "$snapshot_file"
    step "it is seen" fails_with 1 "No snapshots found" ailee_l2_verify --snapshot "$snapshot_file"
    step "restore the backup" "$here/ailee-restore" --quiet --snapshot-only --data-dir "$node"
    step "every snapshot is back" same "$data_dir/before" "$snapshot_file"
    step "all verify" holds 5
}

# largest_file prints the path of the database's largest table or log.
largest_file() { find "$db_path" \( -name '*.sst' -o -name '*.log' \) -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-; }

drill_corrupt_db() {
    local file
    start_chain
    step "fill the database" resync
    step "it has every block" database_holds $((tip + 1)) 0
    # The events are in no chain: what loses them cannot fetch them again.
    reorganise
    step "resync" resync
    step "it has every block and $depth reorg events" database_holds $((tip + 1)) "$depth"
    step "back up" "$here/ailee-backup" --quiet --db-only --data-dir "$node"
    file=$(largest_file)
    step "write over the middle of ${file##*/}" scribble "$file" $(($(stat -c %s "$file") / 2))
    step "it is seen" exits 2 ailee_reorg_verify --quiet --db-path "$db_path"
    step "it is not backed up" exits 2 "$here/ailee-backup" --quiet --db-only --data-dir "$node"
    mv "$db_path" "$db_path.corrupted"
    step "copy what can be read of it" exits 2 ailee_init_reorg_db --quiet --path "$db_path" --copy-from "$db_path.corrupted"
    step "fetch the missing blocks" resync --start-height 0
    step "every block and event is back" database_holds $((tip + 1)) "$depth"
    rm "$db_path/CURRENT"
    step "restore the backup of a database that does not open" "$here/ailee-restore" --quiet --db-only --data-dir "$node"
    step "every block and event is back" database_holds $((tip + 1)) "$depth"
}

drill_corruption() {
    build 4
    ! $corrupt_snapshot || drill_corrupt_snapshot
    ! $corrupt_db || drill_corrupt_db
}

need ailee_l2_verify ailee_init_node ailee_create_anchor ailee_extract_snapshots ailee_prune_snapshots \
    ailee_init_reorg_db ailee_reorg_verify ailee_resync_blocks
make_stage
"drill_$mode"
conclude
