# Completion of ailee_get_snapshot_block for fish, made by make generate.

complete -c ailee_get_snapshot_block -l db-path -x -a '(__fish_complete_directories)' -d 'look the anchor up in the reorg database DIR, not in reorg_db next to FILE'
complete -c ailee_get_snapshot_block -l max-divergence -x -d 'exit with status 2 when the Bitcoin node\'s tip is more than N blocks ahead'
complete -c ailee_get_snapshot_block -l max-memory -x -d 'limit the memory for sorting a section to SIZE; a single line may use 1/16 of it'
complete -c ailee_get_snapshot_block -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee_get_snapshot_block -l quiet -s q -d 'print the height and errors only'
complete -c ailee_get_snapshot_block -l bitcoin-rpc -x -d 'ask the Bitcoin node (Bitcoin Core or btcd) at URL'
complete -c ailee_get_snapshot_block -l rpc-cookie-file -r -F -d 'log in to the node with the cookie in FILE'
complete -c ailee_get_snapshot_block -l rpc-ca-cert -r -F -d 'trust the certificates in FILE for https, instead of the system\'s'
complete -c ailee_get_snapshot_block -l rpc-wait -x -d 'wait up to DURATION for a node that is starting, busy or unreachable'
complete -c ailee_get_snapshot_block -l help -s h -d 'show help'
complete -c ailee_get_snapshot_block -l version -s V -d 'print version, commit and Go version'
