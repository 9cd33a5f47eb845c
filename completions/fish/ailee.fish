# Completion of ailee for fish, made by make generate.

complete -c ailee -f
function __ailee_subcommand
    set -l before (commandline -opc)
    switch $before[2]
    case doctor ailee-doctor
        set before[2] ailee-doctor
    case l2_verify ailee_l2_verify
        set before[2] ailee_l2_verify
    case show_snapshot ailee_show_snapshot
        set before[2] ailee_show_snapshot
    case diff_snapshots ailee_diff_snapshots
        set before[2] ailee_diff_snapshots
    case extract_snapshots ailee_extract_snapshots
        set before[2] ailee_extract_snapshots
    case prune_snapshots ailee_prune_snapshots
        set before[2] ailee_prune_snapshots
    case recover_snapshots ailee_recover_snapshots
        set before[2] ailee_recover_snapshots
    case get_snapshot_block ailee_get_snapshot_block
        set before[2] ailee_get_snapshot_block
    case reorg_verify ailee_reorg_verify
        set before[2] ailee_reorg_verify
    case reorg_show ailee_reorg_show
        set before[2] ailee_reorg_show
    case init_reorg_db ailee_init_reorg_db
        set before[2] ailee_init_reorg_db
    case resync_blocks ailee_resync_blocks
        set before[2] ailee_resync_blocks
    case create_anchor ailee_create_anchor
        set before[2] ailee_create_anchor
    case backup ailee-backup
        set before[2] ailee-backup
    case restore ailee-restore
        set before[2] ailee-restore
    case monitor ailee-monitor
        set before[2] ailee-monitor
    case drill ailee-drill
        set before[2] ailee-drill
    case init_node ailee_init_node
        set before[2] ailee_init_node
    case '*'
        return
    end
    complete -C (string join -- ' ' (string escape -- $before[2..-1]))' '(commandline -ct)
end
complete -c ailee -n 'not __fish_use_subcommand' -a '(__ailee_subcommand)'
complete -c ailee -n __fish_use_subcommand -a doctor -d 'say what is wrong with a node\'s data, and what to do'
complete -c ailee -n __fish_use_subcommand -a l2_verify -d 'verify the snapshots of an AILEE node\'s l2_snapshots.dat'
complete -c ailee -n __fish_use_subcommand -a show_snapshot -d 'show what is in a snapshot of an AILEE node\'s l2_snapshots.dat'
complete -c ailee -n __fish_use_subcommand -a diff_snapshots -d 'compare the snapshots of two AILEE nodes, or two of one'
complete -c ailee -n __fish_use_subcommand -a extract_snapshots -d 'write each complete snapshot of a file to its own file'
complete -c ailee -n __fish_use_subcommand -a prune_snapshots -d 'keep the last snapshots of a snapshot file'
complete -c ailee -n __fish_use_subcommand -a recover_snapshots -d 'recover every valid snapshot of damaged snapshot files'
complete -c ailee -n __fish_use_subcommand -a get_snapshot_block -d 'print the Bitcoin block height of the latest snapshot'
complete -c ailee -n __fish_use_subcommand -a reorg_verify -d 'check an AILEE node\'s reorg database'
complete -c ailee -n __fish_use_subcommand -a reorg_show -d 'show what is in an AILEE node\'s reorg database'
complete -c ailee -n __fish_use_subcommand -a init_reorg_db -d 'make a reorg database for an AILEE node'
complete -c ailee -n __fish_use_subcommand -a resync_blocks -d 'fill an AILEE node\'s reorg database with block hashes from Bitcoin'
complete -c ailee -n __fish_use_subcommand -a create_anchor -d 'anchor a state and append it to a node\'s snapshot file'
complete -c ailee -n __fish_use_subcommand -a backup -d 'back up the snapshot file and the reorg database of an AILEE node'
complete -c ailee -n __fish_use_subcommand -a restore -d 'restore what is missing or wrong of an AILEE node\'s data'
complete -c ailee -n __fish_use_subcommand -a monitor -d 'watch the data and the backups of an AILEE node'
complete -c ailee -n __fish_use_subcommand -a drill -d 'drill the recovery of an AILEE node, on its own data'
complete -c ailee -n __fish_use_subcommand -a init_node -d 'make the data directory of an AILEE node that starts from nothing'
complete -c ailee -n __fish_use_subcommand -l list -d 'print the names of the commands, one per line'
complete -c ailee -n __fish_use_subcommand -l install-links -x -a '(__fish_complete_directories)' -d 'make a link to this program for each command, in the folder DIR'
complete -c ailee -n __fish_use_subcommand -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee -n __fish_use_subcommand -l quiet -s q -d 'print errors only'
complete -c ailee -n __fish_use_subcommand -l help -s h -d 'show help'
complete -c ailee -n __fish_use_subcommand -l version -s V -d 'print version, commit and Go version'
