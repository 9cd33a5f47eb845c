# Completion of ailee_diff_snapshots for fish, made by make generate.

complete -c ailee_diff_snapshots -f
complete -c ailee_diff_snapshots -l section -x -d 'compare only the records of SECTION: balances, escrows, pegins, pegouts or tasks'
complete -c ailee_diff_snapshots -l max-memory -x -d 'limit the memory for sorting a section to SIZE; a single line may use 1/16 of it'
complete -c ailee_diff_snapshots -l json -d 'print JSON documents, one per line, even on failure'
complete -c ailee_diff_snapshots -l quiet -s q -d 'print errors only'
complete -c ailee_diff_snapshots -l help -s h -d 'show help'
complete -c ailee_diff_snapshots -l version -s V -d 'print version, commit and Go version'
