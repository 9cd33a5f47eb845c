# Completion of ailee-drill for fish, made by make generate.

complete -c ailee-drill -f
complete -c ailee-drill -l mode -x -a 'crash reorg corruption' -d 'drill MODE: crash, reorg or corruption'
complete -c ailee-drill -l data-dir -x -a '(__fish_complete_directories)' -d 'make the data in DIR and leave it there; DIR must be missing, empty or from an earlier drill'
complete -c ailee-drill -l reorg-depth -x -d 'with --mode reorg, replace the last N blocks, 1 to 100'
complete -c ailee-drill -l corrupt-snapshot -d 'with --mode corruption, damage the snapshot file; without this and --corrupt-db, both are damaged'
complete -c ailee-drill -l corrupt-db -d 'with --mode corruption, damage the database'
complete -c ailee-drill -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee-drill -l quiet -s q -d 'print errors only'
complete -c ailee-drill -l help -s h -d 'show help'
complete -c ailee-drill -l version -s V -d 'print version, commit and Go version'
