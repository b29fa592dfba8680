# Completion of `likely` for bash. It asks the program itself what it has, so it is never behind.

# What may follow the option $2 of `likely $1`, when its help lists the choices: "(full|tied)".
_likely_choices() {
    "$program" $1 --help 2>/dev/null | sed -n -E "s/^  $2 .*\(([A-Za-z0-9|-]+)\)( \[.*)?\$/\1/p" | tr '|' ' '
}

_likely() {
    local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]} word=${COMP_WORDS[COMP_CWORD]}
    local before=${COMP_WORDS[COMP_CWORD-1]} words=
    [[ $command == fit && $COMP_CWORD -gt 2 ]] && command="fit ${COMP_WORDS[2]}"
    if [[ $COMP_CWORD -eq 1 ]]; then
        words="$("$program" --help 2>/dev/null | sed -n -E 's/^  ([a-z]+) .*/\1/p') --help --version"
    elif [[ $word == -* ]]; then
        words="$("$program" $command --help 2>/dev/null | sed -n -E 's/^  (--[a-z-]+).*/\1/p') --help"
    elif [[ $command == fit ]]; then
        words=$("$program" families 2>/dev/null | sed -n -E '2,$s/^([a-z0-9_-]+) .*/\1/p')
    elif [[ $before == --* ]]; then
        words=$(_likely_choices "$command" "$before")
    fi
    if [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
        compopt -o filenames 2>/dev/null
    fi
}
complete -F _likely likely
