#compdef test_recovery.sh
# Completion of test_recovery.sh for zsh, made by make generate.

_arguments -S \
    '--mode[drill MODE\: crash, reorg or corruption]:MODE:(crash reorg corruption)' \
    '--data-dir[make the data in DIR and leave it there; DIR must be missing, empty or from an earlier drill]:DIR:_files -/' \
    '--reorg-depth[with --mode reorg, replace the last N blocks, 1 to 100]:N: ' \
    '--corrupt-snapshot[with --mode corruption, damage the snapshot file; without this and --corrupt-db, both are damaged]' \
    '--corrupt-db[with --mode corruption, damage the database]' \
    '--json[print the result as one JSON document, even on failure]' \
    '(-q --quiet)'{-q,--quiet}'[print errors only]' \
    '(-h --help)'{-h,--help}'[show help]' \
    '(-V --version)'{-V,--version}'[print version, commit and Go version]'
