# Completion of ailee_l2_verify for fish, made by make generate.

complete -c ailee_l2_verify -f
complete -c ailee_l2_verify -l snapshot -r -F -d 'verify FILE, a file or pipe, or - for standard input'
complete -c ailee_l2_verify -l all -d 'verify every complete snapshot and name the newest valid one'
complete -c ailee_l2_verify -l strict -d 'fail on everything that a node passes over in silence'
complete -c ailee_l2_verify -l accept-earlier-anchors -d 'accept a peg-out that names the anchor of an earlier snapshot of the same file whose own root and anchor hold'
complete -c ailee_l2_verify -l max-memory -x -d 'let a section that is not sorted take up to SIZE to sort, and a line a sixteenth of it'
complete -c ailee_l2_verify -l anchor-tx -x -d 'prove the latest snapshot by the Bitcoin transaction TXID'
complete -c ailee_l2_verify -l min-confirmations -x -d 'demand N confirmations of it'
complete -c ailee_l2_verify -l scan-blocks -x -d 'look through up to N blocks for a transaction that the node cannot find by its id'
complete -c ailee_l2_verify -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee_l2_verify -l quiet -s q -d 'print errors only'
complete -c ailee_l2_verify -l bitcoin-rpc -x -d 'ask the Bitcoin node (Bitcoin Core or btcd) at URL'
complete -c ailee_l2_verify -l rpc-cookie-file -r -F -d 'log in to the node with the cookie in FILE'
complete -c ailee_l2_verify -l rpc-ca-cert -r -F -d 'trust the certificates in FILE for https, in place of the system\'s'
complete -c ailee_l2_verify -l rpc-wait -x -d 'wait up to DURATION for a node that is starting, busy or away'
complete -c ailee_l2_verify -l help -s h -d 'show help'
complete -c ailee_l2_verify -l version -d 'print version, commit and Go version'
