// SPDX-License-Identifier: Apache-2.0
// The kernel's functions by address (/proc/kallsyms).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace txp {

class Kallsyms {
 public:
  // From text in the form of /proc/kallsyms. Lines that are not understood are passed over; where
  // the kernel hides its addresses (kptr_restrict) there is nothing.
  explicit Kallsyms(const std::string& text);
  static Kallsyms of_kernel();

  struct Place {
    std::string function;  // "" : not known
    std::uint64_t offset = 0;
  };
  Place find(std::uint64_t address) const;
  bool empty() const { return symbols_.empty(); }

 private:
  struct Symbol {
    std::uint64_t address;
    std::uint32_t name;  // offset in names_
  };
  std::vector<Symbol> symbols_;  // by address
  std::string names_;            // each ended by NUL
};

// "__dev_queue_xmit+0x3f2", or the bare address where there is no name.
std::string place_text(const Kallsyms& symbols, std::uint64_t address);
// A function's name without what the compiler added: "ip_fragment.constprop.0" to "ip_fragment".
std::string_view plain_function(std::string_view name);

}  // namespace txp
