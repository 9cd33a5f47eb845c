# Completion of ailee-backup for fish, made by make generate.

complete -c ailee-backup -f
complete -c ailee-backup -l data-dir -x -a '(__fish_complete_directories)' -d 'back up the files in DIR'
complete -c ailee-backup -l backup-dir -x -a '(__fish_complete_directories)' -d 'keep the backups in DIR'
complete -c ailee-backup -l keep -x -d 'keep the newest N of each'
complete -c ailee-backup -l compress -d 'compress the snapshot file'
complete -c ailee-backup -l snapshot-only -d 'leave the database out'
complete -c ailee-backup -l db-only -d 'leave the snapshot file out'
complete -c ailee-backup -l dry-run -d 'verify what is to be backed up, say what would be made and deleted, write nothing'
complete -c ailee-backup -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee-backup -l quiet -s q -d 'print errors only'
complete -c ailee-backup -l help -s h -d 'show help'
complete -c ailee-backup -l version -d 'print version, commit and Go version'
