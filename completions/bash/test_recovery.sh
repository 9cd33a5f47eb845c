# shellcheck shell=bash
# Completion of test_recovery.sh for bash, made by make generate.

_test_recovery_sh() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    # --flag=value is three words.
    case $cur,$prev in
    =,*) cur= ;;
    *,=) prev=${COMP_WORDS[COMP_CWORD - 2]} ;;
    esac
    case $prev in
    --data-dir) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    --mode) mapfile -t COMPREPLY < <(compgen -W 'crash reorg corruption' -- "$cur") ;;
    --reorg-depth) COMPREPLY=() ;;
    *)
        case $cur in
        -*) mapfile -t COMPREPLY < <(compgen -W '--mode --data-dir --reorg-depth --corrupt-snapshot --corrupt-db --json --quiet -q --help -h --version -V' -- "$cur") ;;
        *) COMPREPLY=() ;;
        esac
        ;;
    esac
}
complete -F _test_recovery_sh test_recovery.sh
