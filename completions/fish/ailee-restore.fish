# Completion of ailee-restore for fish, made by make generate.

complete -c ailee-restore -f
complete -c ailee-restore -l data-dir -x -a '(__fish_complete_directories)' -d 'restore the data in DIR'
complete -c ailee-restore -l backup-dir -x -a '(__fish_complete_directories)' -d 'take the backups in DIR'
complete -c ailee-restore -l snapshot-only -d 'leave the database as it is'
complete -c ailee-restore -l db-only -d 'leave the snapshot file as it is'
complete -c ailee-restore -l snapshot-backup -r -F -d 'restore the snapshot file from SOURCE, and the database only if --db-backup is given'
complete -c ailee-restore -l db-backup -r -F -d 'restore the database from SOURCE, and the snapshot file only if --snapshot-backup is given'
complete -c ailee-restore -l force -d 'also replace what is sound, or has what the source lacks'
complete -c ailee-restore -l dry-run -d 'say what would be restored, and what is in the way; replace nothing'
complete -c ailee-restore -l max-memory -x -d 'limit the memory for sorting a section to SIZE; a single line may use 1/16 of it'
complete -c ailee-restore -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee-restore -l quiet -s q -d 'print errors only'
complete -c ailee-restore -l help -s h -d 'show help'
complete -c ailee-restore -l version -s V -d 'print version, commit and Go version'
