# Completion of ailee-backup for fish, made by make generate.

complete -c ailee-backup -f
complete -c ailee-backup -l data-dir -x -a '(__fish_complete_directories)' -d 'back up the files in DIR'
complete -c ailee-backup -l backup-dir -x -a '(__fish_complete_directories)' -d 'keep the backups in DIR'
complete -c ailee-backup -l keep -x -d 'keep the newest N of each kind'
complete -c ailee-backup -l keep-daily -x -d 'also keep the last one of each of the newest N days that have one'
complete -c ailee-backup -l keep-weekly -x -d 'also keep the last one of each of the newest N weeks that have one'
complete -c ailee-backup -l compress -x -d 'compress with FORM: gzip, which --compress alone means, or zstd'
complete -c ailee-backup -l snapshot-only -d 'leave the database out'
complete -c ailee-backup -l db-only -d 'leave the snapshot file out'
complete -c ailee-backup -l accept-loss -d 'give up what this run finds missing'
complete -c ailee-backup -l exec -x -d 'afterwards run COMMAND in a shell, to copy the backups elsewhere'
complete -c ailee-backup -l dry-run -d 'verify the sources, say what would be made and deleted, write nothing'
complete -c ailee-backup -l all -d 'verify all backups'
complete -c ailee-backup -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee-backup -l quiet -s q -d 'print errors only'
complete -c ailee-backup -l help -s h -d 'show help'
complete -c ailee-backup -l version -s V -d 'print version, commit and Go version'
