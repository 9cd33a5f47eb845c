# Completion of ailee_init_node for fish, made by make generate.

complete -c ailee_init_node -f
complete -c ailee_init_node -l data-dir -x -a '(__fish_complete_directories)' -d 'make the files of a node in DIR'
complete -c ailee_init_node -l if-missing -d 'keep sound parts that already exist, make the others'
complete -c ailee_init_node -l owner -x -d 'give the files to USER:GROUP'
complete -c ailee_init_node -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee_init_node -l quiet -s q -d 'print errors only'
complete -c ailee_init_node -l help -s h -d 'show help'
complete -c ailee_init_node -l version -s V -d 'print version, commit and Go version'
