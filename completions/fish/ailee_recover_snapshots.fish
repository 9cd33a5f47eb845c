# Completion of ailee_recover_snapshots for fish, made by make generate.

complete -c ailee_recover_snapshots -l dry-run -d 'show what would be recovered and dropped, but write nothing'
complete -c ailee_recover_snapshots -l max-unpacked -x -d 'let a compressed SOURCE unpack to at most SIZE'
complete -c ailee_recover_snapshots -l accept-earlier-anchors -d 'accept a peg-out that names the anchor of an earlier snapshot in OUT whose own root and anchor hold'
complete -c ailee_recover_snapshots -l accept-pruned-anchors -d 'accept a peg-out that names any anchor, as after a prune, in a snapshot whose own root and anchor hold'
complete -c ailee_recover_snapshots -l max-memory -x -d 'limit the memory for sorting a section to SIZE; a single line may use 1/16 of it'
complete -c ailee_recover_snapshots -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee_recover_snapshots -l quiet -s q -d 'print errors only'
complete -c ailee_recover_snapshots -l help -s h -d 'show help'
complete -c ailee_recover_snapshots -l version -s V -d 'print version, commit and Go version'
