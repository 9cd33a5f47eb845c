# Completion of test_recovery.sh for fish, made by make generate.

complete -c test_recovery.sh -f
complete -c test_recovery.sh -l mode -x -a 'crash reorg corruption' -d 'drill MODE: crash, reorg or corruption'
complete -c test_recovery.sh -l data-dir -x -a '(__fish_complete_directories)' -d 'make the data in DIR and leave it there; DIR must be missing, empty or from an earlier drill'
complete -c test_recovery.sh -l reorg-depth -x -d 'with --mode reorg, replace the last N blocks, 1 to 100'
complete -c test_recovery.sh -l corrupt-snapshot -d 'with --mode corruption, damage the snapshot file; without this and --corrupt-db, both are damaged'
complete -c test_recovery.sh -l corrupt-db -d 'with --mode corruption, damage the database'
complete -c test_recovery.sh -l json -d 'print the result as one JSON document, even on failure'
complete -c test_recovery.sh -l quiet -s q -d 'print errors only'
complete -c test_recovery.sh -l help -s h -d 'show help'
complete -c test_recovery.sh -l version -s V -d 'print version, commit and Go version'
