# Completion of ailee_prune_snapshots for fish, made by make generate.

complete -c ailee_prune_snapshots -f
complete -c ailee_prune_snapshots -l file -r -F -d 'prune FILE'
complete -c ailee_prune_snapshots -l keep -x -d 'keep the last N complete snapshots, or all'
complete -c ailee_prune_snapshots -l output -r -F -d 'write the result to OUT, and leave FILE as it is'
complete -c ailee_prune_snapshots -l in-place -d 'replace FILE by the result'
complete -c ailee_prune_snapshots -l discard-newest-valid -d 'go on when an older snapshot is valid and none of the kept ones is'
complete -c ailee_prune_snapshots -l discard-hidden -d 'drop complete snapshots that torn lines hide from nodes'
complete -c ailee_prune_snapshots -l force -d 'replace OUT if it exists'
complete -c ailee_prune_snapshots -l dry-run -d 'show what would be kept and dropped, write nothing'
complete -c ailee_prune_snapshots -l accept-earlier-anchors -d 'accept a peg-out that names the anchor of an earlier snapshot of the same file whose own root and anchor hold'
complete -c ailee_prune_snapshots -l max-memory -x -d 'let a section that has to be sorted take up to SIZE, and a line a sixteenth of it'
complete -c ailee_prune_snapshots -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee_prune_snapshots -l quiet -s q -d 'print errors only'
complete -c ailee_prune_snapshots -l help -s h -d 'show help'
complete -c ailee_prune_snapshots -l version -d 'print version, commit and Go version'
