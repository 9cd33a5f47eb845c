# Completion of ailee_init_reorg_db for fish, made by make generate.

complete -c ailee_init_reorg_db -f
complete -c ailee_init_reorg_db -l path -x -a '(__fish_complete_directories)' -d 'make the database in DIR, which must be missing, empty, or hold an unfinished database'
complete -c ailee_init_reorg_db -l if-missing -d 'keep a sound database that is already there'
complete -c ailee_init_reorg_db -l copy-from -r -F -d 'copy what can be read from the database in SOURCE, a folder or an archive; may be given several times'
complete -c ailee_init_reorg_db -l max-unpacked -x -d 'let a compressed SOURCE unpack to at most SIZE'
complete -c ailee_init_reorg_db -l dry-run -d 'show what would be copied and what is lost, without making a database'
complete -c ailee_init_reorg_db -l json -d 'print the result as one JSON document, even on failure'
complete -c ailee_init_reorg_db -l quiet -s q -d 'print errors only'
complete -c ailee_init_reorg_db -l help -s h -d 'show help'
complete -c ailee_init_reorg_db -l version -s V -d 'print version, commit and Go version'
