# shellcheck shell=bash
# Completion of the rudp command: verbs, and the options that each verb's --help lists.
_rudp() {
    local word=${COMP_WORDS[COMP_CWORD]} words="run doctor stat"

    if ((COMP_CWORD > 1)); then
        [[ $word == -* ]] || return
        words=$("${COMP_WORDS[0]}" "${COMP_WORDS[1]}" --help | grep -o -- '--[a-z-]*')
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _rudp rudp
