# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A place for laboratories of network namespaces. Sourced, not run.

# Sets the array `lab`: a command prefix that runs a command in its own mount, network and process
# namespaces, as root of them. Whatever the command makes there (`ip netns add`, mounts, daemons)
# is gone when it ends, however it ends: the kernel itself cleans up. Sets `lab_kind` to "root" or
# "user namespace". Fails, with the reason in `lab_why`, where neither is allowed.
find_lab() {
  local namespaces=(--mount --net --pid --fork --kill-child --mount-proc)
  lab_why=""
  if ((EUID == 0)); then
    lab_kind="root"
  else
    lab_kind="user namespace"
    namespaces=(--user --map-root-user "${namespaces[@]}")
  fi
  # `ip netns` keeps its names in /run/netns.
  lab=(unshare "${namespaces[@]}" -- bash -c 'mount -t tmpfs lab /run && ip link set lo up &&
    exec "$@"' lab)
  lab_why=$("${lab[@]}" ip netns add probe 2>&1) && return 0
  lab_why="no network namespaces here (${lab_why%%$'\n'*})"
  return 1
}

# on_interrupt FUNCTION: calls it on Ctrl-C and its kin, after ending what run_group started.
group=""
on_interrupt() {
  interrupted=$1
  trap end_group INT TERM HUP
}
end_group() {
  trap '' INT TERM HUP
  if [[ -n $group ]]; then
    kill -TERM -- "-$group" 2>/dev/null
    # What ignores that, and a laboratory's init, which cannot hear it.
    sleep 0.2
    kill -KILL -- "-$group" 2>/dev/null
    wait "$group" 2>/dev/null
  fi
  "$interrupted"
  exit 130
}
# run_group COMMAND...: in its own process group, so that all of it can be ended.
run_group() {
  local status
  set -m
  "$@" </dev/null &
  group=$!
  set +m
  wait "$group"
  status=$?
  group=""
  return $status
}
