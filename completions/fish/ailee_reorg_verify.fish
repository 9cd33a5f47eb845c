# Completion of ailee_reorg_verify for fish, made by make generate.

complete -c ailee_reorg_verify -f
complete -c ailee_reorg_verify -l db-path -x -a '(__fish_complete_directories)' -d 'check the database in DIR'
complete -c ailee_reorg_verify -l recent -x -d 'print the last N reorgs'
complete -c ailee_reorg_verify -l snapshot -r -F -d 'check that FILE agrees with the database'
complete -c ailee_reorg_verify -l max-memory -x -d 'let a section that has to be sorted take up to SIZE, and a line a sixteenth of it'
complete -c ailee_reorg_verify -l wallet -x -d 'ask the wallet NAME of the node for transactions'
complete -c ailee_reorg_verify -l scan-blocks -x -d 'look through up to N blocks for a transaction that the node cannot find by its id'
complete -c ailee_reorg_verify -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee_reorg_verify -l quiet -s q -d 'print errors only'
complete -c ailee_reorg_verify -l bitcoin-rpc -x -d 'ask the Bitcoin node (Bitcoin Core or btcd) at URL'
complete -c ailee_reorg_verify -l rpc-cookie-file -r -F -d 'log in to the node with the cookie in FILE'
complete -c ailee_reorg_verify -l rpc-ca-cert -r -F -d 'trust the certificates in FILE for https, in place of the system\'s'
complete -c ailee_reorg_verify -l rpc-wait -x -d 'wait up to DURATION for a node that is starting, busy or away'
complete -c ailee_reorg_verify -l help -s h -d 'show help'
complete -c ailee_reorg_verify -l version -d 'print version, commit and Go version'
