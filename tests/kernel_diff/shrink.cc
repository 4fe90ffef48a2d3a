// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/shrink.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>
#include <vector>

namespace txp::kdiff {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(const std::string& text, char at) {
  Pieces all;
  std::string piece;
  for (const char c : text) {
    if (c == at)
      all.push_back(std::exchange(piece, {}));
    else
      piece += c;
  }
  if (!piece.empty()) all.push_back(piece);
  return all;
}

std::string join(const Pieces& pieces, char with) {
  std::string text;
  for (const std::string& p : pieces) {
    text += p;
    text += with;
  }
  if (with != '\n' && !text.empty()) text.pop_back();
  return text;
}

class Shrinker {
 public:
  Shrinker(std::string text, const std::function<bool(const std::string&)>& shows, int tries)
      : lines_(split(text, '\n')), shows_(shows), tries_(tries) {}

  std::string run() {
    for (bool smaller = true; smaller && tries_ > 0;) {
      smaller = leave_out_lines();
      smaller |= each_line([this](std::size_t i) { return leave_out_words(i); });
      smaller |= each_line([this](std::size_t i) { return make_numbers_smaller(i); });
    }
    return join(lines_, '\n');
  }

 private:
  bool accept(Pieces lines) {
    if (count_kept(lines) != kept_ || draws_address(lines) || tries_-- <= 0 ||
        !shows_(join(lines, '\n')))
      return false;
    lines_ = std::move(lines);
    return true;
  }
  bool accept(std::size_t i, const Pieces& words) {
    Pieces lines = lines_;
    lines[i] = join(words, ' ');
    return accept(std::move(lines));
  }

  // Lines that keep the kernel's ARP, and its time, out of a device's egress rules.
  static std::ptrdiff_t count_kept(const Pieces& lines) {
    return std::ranges::count_if(lines, [](const std::string& l) {
      return l.find("meta protocol arp accept") != std::string::npos ||
             l.find("2 dev va nud permanent") != std::string::npos ||
             l.find("2 dev vc nud permanent") != std::string::npos;
    });
  }

  // A device without an address: the kernel would draw one.
  static bool draws_address(const Pieces& lines) {
    return std::ranges::any_of(lines, [](const std::string& l) {
      return l.find("ip link add") != std::string::npos && l.find(" address ") == std::string::npos;
    });
  }

  // Halves first, then quarters, down to single lines; from the end, where most is independent.
  bool leave_out_lines() {
    bool any = false;
    for (std::size_t n = std::max<std::size_t>(1, (lines_.size() - 1) / 2); n >= 1; n /= 2) {
      for (std::size_t end = lines_.size(); end > 1;) {
        const std::size_t begin = end > n + 1 ? end - n : 1;
        Pieces fewer = lines_;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(begin),
                    fewer.begin() + static_cast<std::ptrdiff_t>(end));
        any |= accept(std::move(fewer));
        end = begin;
      }
    }
    return any;
  }

  template <typename Change>
  bool each_line(Change change) {
    bool any = false;
    for (std::size_t i = 1; i < lines_.size(); ++i)
      while (tries_ > 0 && change(i)) any = true;
    return any;
  }

  bool leave_out_words(std::size_t i) {
    if (lines_[i].starts_with("peer icmp")) return false;  // a ping is no smaller error
    const Pieces words = split(lines_[i], ' ');
    for (std::size_t n = 4; n >= 1; --n) {
      for (std::size_t at = 1; at + n <= words.size(); ++at) {
        Pieces fewer = words;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(at),
                    fewer.begin() + static_cast<std::ptrdiff_t>(at + n));
        if (accept(i, fewer)) return true;
      }
    }
    return false;
  }

  bool make_numbers_smaller(std::size_t i) {
    if (lines_[i].starts_with("peer icmp")) return false;
    const Pieces words = split(lines_[i], ' ');
    for (std::size_t at = 1; at < words.size(); ++at) {
      std::uint64_t n = 0;
      const char* end = words[at].data() + words[at].size();
      if (std::from_chars(words[at].data(), end, n).ptr != end) continue;
      for (const std::uint64_t less :
           {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{10}, n / 2, n - 1}) {
        if (less >= n) continue;
        Pieces changed = words;
        changed[at] = std::to_string(less);
        if (accept(i, changed)) return true;
      }
    }
    return false;
  }

  Pieces lines_;
  const std::function<bool(const std::string&)>& shows_;
  int tries_;
  std::ptrdiff_t kept_ = count_kept(lines_);
};

}  // namespace

std::string shrink(std::string text, const std::function<bool(const std::string&)>& shows,
                   int tries) {
  return Shrinker(std::move(text), shows, tries).run();
}

}  // namespace txp::kdiff
