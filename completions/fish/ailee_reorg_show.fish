# Completion of ailee_reorg_show for fish, made by make generate.

complete -c ailee_reorg_show -f
complete -c ailee_reorg_show -a 'anchors anchor events blocks families'
complete -c ailee_reorg_show -l db-path -x -a '(__fish_complete_directories)' -d 'show the database in DIR'
complete -c ailee_reorg_show -l status -x -a 'pending confirmed invalidated failed' -d 'of the anchors, only those that are STATUS: pending, confirmed, invalidated or failed'
complete -c ailee_reorg_show -l last -x -d 'of the events, only the last N'
complete -c ailee_reorg_show -l json -d 'print JSON documents, one per line, even on failure'
complete -c ailee_reorg_show -l quiet -s q -d 'print errors only'
complete -c ailee_reorg_show -l help -s h -d 'show help'
complete -c ailee_reorg_show -l version -s V -d 'print version, commit and Go version'
