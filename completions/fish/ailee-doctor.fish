# Completion of ailee-doctor for fish, made by make generate.

complete -c ailee-doctor -f
complete -c ailee-doctor -l data-dir -x -a '(__fish_complete_directories)' -d 'check the data in DIR'
complete -c ailee-doctor -l backup-dir -x -a '(__fish_complete_directories)' -d 'check the backups in DIR'
complete -c ailee-doctor -l unit -x -d 'the node\'s systemd service is UNIT'
complete -c ailee-doctor -l max-memory -x -d 'limit the memory for sorting a section to SIZE; a single line may use 1/16 of it'
complete -c ailee-doctor -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee-doctor -l quiet -s q -d 'print errors only'
complete -c ailee-doctor -l bitcoin-rpc -x -d 'ask the Bitcoin node (Bitcoin Core or btcd) at URL'
complete -c ailee-doctor -l rpc-cookie-file -r -F -d 'log in to the node with the cookie in FILE'
complete -c ailee-doctor -l rpc-ca-cert -r -F -d 'trust the certificates in FILE for https, instead of the system\'s'
complete -c ailee-doctor -l rpc-wait -x -d 'wait up to DURATION for a node that is starting, busy or unreachable'
complete -c ailee-doctor -l help -s h -d 'show help'
complete -c ailee-doctor -l version -s V -d 'print version, commit and Go version'
