# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Bash completion for txpath. Verbs, options and their values are those that --help tells.
_txpath() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --netns) ((++i)) ;;
      -*) ;;
      *) verb=${COMP_WORDS[i]} && break ;;
    esac
  done
  if [[ $before == --netns ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(ls /run/netns 2>/dev/null)" -- "$word")
    return
  fi
  local help
  if [[ -z $verb ]]; then
    help=$("${COMP_WORDS[0]}" --help 2>/dev/null)
    mapfile -t COMPREPLY < <(compgen -W "--netns --help --version
      $(sed -n '/^usage/,/^  --/s/^  \([a-z]\+\) .*/\1/p' <<<"$help")" -- "$word")
    return
  fi
  help=$("${COMP_WORDS[0]}" "$verb" --help 2>/dev/null)
  local value
  value=$(sed -n "s/^ *\(-[a-z],\)\?$before \([A-Za-z|.:=_]*\).*/\2/p" <<<"$help" | head -n 1)
  case $before$value in
    --*FILE | --*OUT* | --*jsonl) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    --*\|*) mapfile -t COMPREPLY < <(compgen -W "${value//|/ }" -- "$word") && return ;;
  esac
  if [[ $before == oif ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net)" -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(grep -o -- '--[a-z-]\+' <<<"$help" | sort -u)" -- "$word")
  elif [[ $verb == explain || $verb == send ]]; then
    mapfile -t COMPREPLY < <(compgen -W "udp from to oif mark tos uid len data ttl df gso broadcast" \
      -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _txpath txpath
