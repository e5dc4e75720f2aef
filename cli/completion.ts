// SPDX-License-Identifier: MIT
//
// vpollnet completion SHELL: a function for the shell, which asks this program for the words.

import type { Argv } from 'yargs';
import { helpEnd } from './command.js';

const ask = 'vpollnet --get-yargs-completions';

const scripts = {
  bash: `# Completion of vpollnet for bash. To have it in each shell:
#   vpollnet completion bash > ~/.local/share/bash-completion/completions/vpollnet
_vpollnet() {
  local word=\${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(SHELL=bash ${ask} "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2> /dev/null)" -- "$word"))
}
complete -o bashdefault -o default -F _vpollnet vpollnet
`,
  zsh: `#compdef vpollnet
# Completion of vpollnet for zsh. To have it in each shell, into a folder of $fpath:
#   vpollnet completion zsh > ~/.zsh/completions/_vpollnet
_vpollnet() {
  local -a found
  found=("\${(@f)$(SHELL=zsh ${ask} "\${(@)words[1,CURRENT]}" 2> /dev/null)}")
  if [[ -n "\${found[1]}" ]]; then
    _describe vpollnet found
  else
    _files
  fi
}
if [[ "\${funcstack[1]}" == _vpollnet ]]; then
  _vpollnet "$@"
else
  compdef _vpollnet vpollnet
fi
`,
};

export function addCompletion(cli: Argv): Argv {
  return cli.command(
    'completion <shell>',
    'print the completion script for bash or zsh',
    (command) =>
      command
        .usage('Usage: $0 completion bash|zsh')
        .positional('shell', {
          choices: ['bash', 'zsh'] as const,
          demandOption: true,
          describe: 'for which shell',
        })
        .epilogue(
          helpEnd(
            [
              ['source <(vpollnet completion bash)', 'in this shell'],
              ['vpollnet completion zsh > ~/.zsh/completions/_vpollnet', 'in each zsh'],
            ],
            'Exit codes: 0 done, 2 a wrong command line.',
          ),
        ),
    ({ shell }) => {
      process.stdout.write(scripts[shell]);
    },
  );
}
