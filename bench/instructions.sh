#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Instructions a datagram, from the send call to the null driver, counted by callgrind: the figure
# without noise. Compares with those in bench/instructions.txt; ends with 1 when one is more than
# 1 % higher. --write puts the new ones there.
set -eu
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "instructions: valgrind is not installed"; exit 77; }
write=${1:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for case in "connected 64 fly" "sendto 64 fly" "batch 64 fly" "connected 1400 fly" \
            "batch 1400 fly" "connected 8192 fly" "connected 64 walk" "sendto 64 walk" \
            "sendto 8192 walk"; do
  set -- $case
  n=$(valgrind -q --tool=callgrind --collect-atstart=no --toggle-collect=measured \
      --callgrind-out-file="$out/cg" build/bin/instructions "$1" "$2" "$3" 2>/dev/null)
  total=$(sed -n 's/^summary: \([0-9]*\).*/\1/p' "$out/cg" | head -1)
  echo "$3 $1 $2 $((total / n))"
done >"$out/new"
bad=0
while read -r way how bytes count; do
  old=$(awk -v k="$way $how $bytes" '$1 " " $2 " " $3 == k {print $4}' bench/instructions.txt 2>/dev/null || true)
  word=""
  if [ -n "$old" ] && [ $((count * 100)) -gt $((old * 101)) ]; then word="  more than $old"; bad=1; fi
  printf '%-5s %-10s %5s bytes %6s instructions%s\n' "$way" "$how" "$bytes" "$count" "$word"
done <"$out/new"
if [ "$write" = --write ]; then cp "$out/new" bench/instructions.txt; fi
exit $bad
