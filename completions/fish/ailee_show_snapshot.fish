# Completion of ailee_show_snapshot for fish, made by make generate.

complete -c ailee_show_snapshot -l index -x -d 'show snapshot K, counted from 1, the oldest'
complete -c ailee_show_snapshot -l section -x -d 'show the records of SECTION: balances, escrows, pegins, pegouts or tasks; or anchor'
complete -c ailee_show_snapshot -l id -x -d 'show only records that have ID as one of their fields, such as a peer, a task or a peg'
complete -c ailee_show_snapshot -l totals -d 'show sums instead of records'
complete -c ailee_show_snapshot -l accept-earlier-anchors -d 'accept a peg-out that names the anchor of an earlier snapshot of the same file whose own root and anchor hold'
complete -c ailee_show_snapshot -l max-memory -x -d 'limit the memory for sorting a section to SIZE; a single line may use 1/16 of it'
complete -c ailee_show_snapshot -l json -d 'print JSON documents, one per line, even on failure'
complete -c ailee_show_snapshot -l quiet -s q -d 'print errors only'
complete -c ailee_show_snapshot -l help -s h -d 'show help'
complete -c ailee_show_snapshot -l version -s V -d 'print version, commit and Go version'
