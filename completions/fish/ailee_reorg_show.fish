# Completion of ailee_reorg_show for fish, made by make generate.

complete -c ailee_reorg_show -f
complete -c ailee_reorg_show -a 'anchors anchor events blocks families'
complete -c ailee_reorg_show -l db-path -x -a '(__fish_complete_directories)' -d 'show the database in DIR'
complete -c ailee_reorg_show -l status -x -a 'pending confirmed invalidated failed' -d 'list only anchors with STATUS: pending, confirmed, invalidated or failed'
complete -c ailee_reorg_show -l last -x -d 'list only the last N events'
complete -c ailee_reorg_show -l json -d 'print JSON documents, one per line, even on failure'
complete -c ailee_reorg_show -l quiet -s q -d 'print errors only'
complete -c ailee_reorg_show -l help -s h -d 'show help'
complete -c ailee_reorg_show -l version -s V -d 'print version, commit and Go version'
