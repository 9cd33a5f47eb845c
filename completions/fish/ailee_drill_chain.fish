# Completion of ailee_drill_chain for fish, made by make generate.

complete -c ailee_drill_chain -f
complete -c ailee_drill_chain -l tip -x -d 'serve the heights 0 to HEIGHT'
complete -c ailee_drill_chain -l reorg-depth -x -d 'replace the last N blocks'
complete -c ailee_drill_chain -l listen -x -d 'listen on ADDRESS'
complete -c ailee_drill_chain -l json -d 'print the result as one JSON document, also on failure'
complete -c ailee_drill_chain -l quiet -s q -d 'print errors only'
complete -c ailee_drill_chain -l help -s h -d 'show help'
complete -c ailee_drill_chain -l version -d 'print version, commit and Go version'
