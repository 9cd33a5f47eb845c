# Completion of ailee-restore for fish, made by make generate.

complete -c ailee-restore -f
complete -c ailee-restore -l data-dir -x -a '(__fish_complete_directories)' -d 'restore the files in DIR'
complete -c ailee-restore -l backup-dir -x -a '(__fish_complete_directories)' -d 'take the backups in DIR'
complete -c ailee-restore -l snapshot-only -d 'leave the database as it is'
complete -c ailee-restore -l db-only -d 'leave the snapshot file as it is'
complete -c ailee-restore -l snapshot-backup -r -F -d 'restore the snapshot file from FILE, and of the database only what --db-backup names'
complete -c ailee-restore -l db-backup -r -F -d 'restore the database from FILE, and of the snapshot file only what --snapshot-backup names'
complete -c ailee-restore -l dry-run -d 'unpack and verify, say what would be restored, replace nothing; the node may be running'
complete -c ailee-restore -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee-restore -l quiet -s q -d 'print errors only'
complete -c ailee-restore -l help -s h -d 'show help'
complete -c ailee-restore -l version -d 'print version, commit and Go version'
