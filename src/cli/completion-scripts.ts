/** What shells load for completion: each asks `coppice completion complete WORD…` what may follow. */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const BASH = `# bash completion of coppice; load it with: source <(coppice completion bash)
_coppice() {
    local line cur=\${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'
    [[ $cur == = ]] && cur=
    COMPREPLY=()
    while read -r line; do
        case $line in
            :files) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")) ;;
            :directories) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")) ;;
            :commands) COMPREPLY+=($(compgen -c -- "$cur")) ;;
            *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
        esac
    done < <("\${COMP_WORDS[0]}" completion complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _coppice coppice
`;

const ZSH = `#compdef coppice
# zsh completion of coppice; load it with: source <(coppice completion zsh)
_coppice() {
    local line word
    local -a found shown open
    for line in "\${(@f)$(\${words[1]} completion complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) _files ;;
            :directories) _files -/ ;;
            :commands) _command_names -e ;;
            *)
                word=\${line%%$'\\t'*}
                if [[ $word == *= ]]; then open+=("$word"); else found+=("$word"); shown+=("\${line//$'\\t'/  -- }"); fi
                ;;
        esac
    done
    (( \${#found} )) && compadd -l -d shown -a found
    (( \${#open} )) && compadd -S '' -a open
    return 0
}
compdef _coppice coppice
`;

const FISH = `# fish completion of coppice; load it with: coppice completion fish | source
function __coppice_complete
    set -l words (commandline -opc)[2..-1]
    for line in (coppice completion complete $words (commandline -ct) 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':directories'
                __fish_complete_directories (commandline -ct)
            case ':commands'
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end
complete -c coppice -f -a '(__coppice_complete)'
`;

export function completionScript(shell: Shell): string {
	return {bash: BASH, zsh: ZSH, fish: FISH}[shell];
}
