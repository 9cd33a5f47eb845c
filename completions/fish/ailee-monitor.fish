# Completion of ailee-monitor for fish, made by make generate.

complete -c ailee-monitor -f
complete -c ailee-monitor -l data-dir -x -a '(__fish_complete_directories)' -d 'watch the data in DIR'
complete -c ailee-monitor -l backup-dir -x -a '(__fish_complete_directories)' -d 'watch the backups in DIR'
complete -c ailee-monitor -l max-snapshot-size -x -d 'warn when the snapshot file is larger'
complete -c ailee-monitor -l max-db-size -x -d 'warn when the reorg database is larger'
complete -c ailee-monitor -l max-growth -x -d 'warn when either grew by more since the last run'
complete -c ailee-monitor -l max-snapshot-age -x -d 'warn when the latest snapshot is older'
complete -c ailee-monitor -l max-backup-age -x -d 'warn when the newest backup of either is older'
complete -c ailee-monitor -l max-pending -x -d 'warn when more anchors are pending'
complete -c ailee-monitor -l max-orphaned -x -d 'warn when more of the pending anchors are orphaned'
complete -c ailee-monitor -l state-file -r -F -d 'remember the sizes in FILE, \'\' for nowhere'
complete -c ailee-monitor -l prometheus -r -F -d 'write metrics to FILE for the textfile collector of node_exporter'
complete -c ailee-monitor -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee-monitor -l quiet -s q -d 'print errors only'
complete -c ailee-monitor -l help -s h -d 'show help'
complete -c ailee-monitor -l version -d 'print version, commit and Go version'
