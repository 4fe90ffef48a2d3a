# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The Debian packages that this project needs, and how ./demo and ./check install them.
# Sourced, not run, in the project's root folder.

# Builds the library, the command and the unit tests.
packages_build="cmake ninja-build g++ pkg-config ca-certificates
  libfmt-dev nlohmann-json3-dev libcli11-dev libmnl-dev libnftnl-dev liburcu-dev libpcap-dev
  clang-16 bpftool libbpf-dev libcpp-httplib-dev libsqlite3-dev
  libgtest-dev libgmock-dev"
# The laboratory of ./demo and of the kernel_diff tests.
packages_lab="iproute2 ethtool nftables iptables procps util-linux python3"
packages_demo="tshark"
# ./check --quick.
packages_quick="clang-format-19 jq tcpdump"
# Programs that tests/run/programs_test.py runs under `txpath run`; it skips what is not there.
packages_run="bind9-dnsutils dnsperf iperf3 knot knot-dnsutils socat traceroute iputils-tracepath"
# The others that it knows: apt-get install them to have them tested.
# shellcheck disable=SC2034
packages_run_more="chrony nodejs ngtcp2-client ngtcp2-server openssl sockperf"
# tests/records/ runs a real ClickHouse where there is one: apt-get install it to have it tested.
# shellcheck disable=SC2034
packages_records_more="clickhouse-server"
# The whole ./check.
packages_full="clang-19 libclang-rt-19-dev clang-tidy-19 libbenchmark-dev liblwip-dev tshark
  chromium dpkg-dev groff-base"
# Builds the page of `txpath serve` again, where there is no npm yet.
packages_web="nodejs npm"

# install_packages PACKAGE...: installs what is missing. As root with apt-get, else with sudo when
# that works without a password, else says what to install. Needs no network when nothing is
# missing.
install_packages() {
  local missing=() package as_root=()
  for package in "$@"; do
    # The pattern guards against packages that were removed but left their configuration.
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *"ok installed" ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      echo "These packages are missing, and installing them needs root. Run:" >&2
      echo "  sudo apt-get install ${missing[*]}" >&2
      return 1
    fi
  fi
  local log=build/apt.log
  mkdir -p build
  # tshark asks whether others than root may capture; noninteractive takes the default, no.
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -c '
      apt-get -qq update && apt-get -qq -y install --no-install-recommends "$@"' \
      apt "${missing[@]}" </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
  fi
}
