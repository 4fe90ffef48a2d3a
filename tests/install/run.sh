#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs a build into a folder of its own, then builds and runs an outside program against it,
# once as a CMake user would and once as a pkg-config user would.
# usage: run.sh BUILD_DIR WORK_DIR
set -euo pipefail
build=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
rm -rf "$2"
mkdir -p "$2"
work=$(realpath "$2")

cmake --install "$build" --prefix "$work/prefix"
"$work/prefix/bin/txpath" --version

cmake -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/prefix"
cmake --build "$work/cmake"
"$work/cmake/outside"

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name txpath.pc)")
# shellcheck disable=SC2046
g++ -std=c++23 -Wall -Wextra -Wpedantic -Werror "$here/outside.cc" -o "$work/by-pkg-config" \
  $(pkg-config --cflags --libs txpath)
"$work/by-pkg-config"
