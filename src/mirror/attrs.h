// SPDX-License-Identifier: Apache-2.0
// Netlink attributes out of bytes that nobody has checked. Every length is looked at before a byte
// is read; the first attribute that is wrong is kept as the error.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include <fmt/format.h>
#include <libmnl/libmnl.h>

#include "base/byteorder.h"
#include "base/result.h"
#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

using Bytes = std::span<const std::uint8_t>;

// Calls visit(const nlattr&) for each attribute of `bytes`; false when they are cut or absurd.
template <typename Visit>
bool for_each_attr(Bytes bytes, Visit&& visit) {
  while (!bytes.empty()) {
    if (bytes.size() < sizeof(nlattr)) return false;
    const void* at = bytes.data();
    const auto* attr = static_cast<const nlattr*>(at);
    if (!mnl_attr_ok(attr, static_cast<int>(bytes.size()))) return false;
    visit(*attr);
    const std::size_t step = MNL_ALIGN(attr->nla_len);
    bytes = step >= bytes.size() ? Bytes{} : bytes.subspan(step);
  }
  return true;
}

inline Bytes payload(const nlattr& a) {
  const void* p = mnl_attr_get_payload(&a);
  return {static_cast<const std::uint8_t*>(p), mnl_attr_get_payload_len(&a)};
}

// The attributes 0..Max of one level, by type; of a repeated one the last counts, as in the kernel.
// Getters answer nothing for one that is absent, and also for one of a wrong length, which error()
// then tells.
template <unsigned Max>
class Attrs {
 public:
  explicit Attrs(Bytes bytes, const char* what = "message") : what_(what) {
    if (bytes.size() > 0x7fffffff || !for_each_attr(bytes, [this](const nlattr& a) {
          const unsigned type = mnl_attr_get_type(&a);
          if (type <= Max) at_[type] = &a;
        }))
      error_ = fmt::format("{}: an attribute is cut short", what_);
  }

  bool has(unsigned type) const { return at_[type] != nullptr; }
  std::optional<std::uint8_t> u8(unsigned type) { return number<std::uint8_t>(type, MNL_TYPE_U8); }
  std::optional<std::uint16_t> u16(unsigned type) {
    return number<std::uint16_t>(type, MNL_TYPE_U16);
  }
  std::optional<std::uint32_t> u32(unsigned type) {
    return number<std::uint32_t>(type, MNL_TYPE_U32);
  }
  std::optional<std::uint64_t> u64(unsigned type) {
    return number<std::uint64_t>(type, MNL_TYPE_U64);
  }
  std::optional<std::uint32_t> be32(unsigned type) {
    const auto b = bytes(type, 4);
    return b ? std::optional(load_be32(b->data())) : std::nullopt;
  }
  std::optional<std::uint16_t> be16(unsigned type) {
    const auto b = bytes(type, 2);
    return b ? std::optional(load_be16(b->data())) : std::nullopt;
  }
  std::optional<std::uint64_t> be64(unsigned type) {
    const auto b = bytes(type, 8);
    if (!b) return std::nullopt;
    return (std::uint64_t{load_be32(b->data())} << 32) | load_be32(b->data() + 4);
  }
  std::optional<Ip4> ip4(unsigned type) {
    const auto b = bytes(type, 4);
    return b ? std::optional(Ip4{load_be32(b->data())}) : std::nullopt;
  }
  std::optional<Ip6> ip6(unsigned type) {
    const auto b = bytes(type, 16);
    return b ? std::optional(Ip6::load(b->data())) : std::nullopt;
  }
  // An interface index: positive.
  std::optional<int> ifindex(unsigned type) {
    const auto v = u32(type);
    if (!v) return std::nullopt;
    if (*v == 0 || *v > 0x7fffffff) {
      wrong(type, "is not an interface index");
      return std::nullopt;
    }
    return static_cast<int>(*v);
  }
  // Text up to its NUL (or the attribute's end), of at most `max` printable bytes.
  std::optional<std::string> text(unsigned type, std::size_t max = 255) {
    if (!has(type)) return std::nullopt;
    const Bytes b = payload(*at_[type]);
    std::size_t len = 0;
    while (len < b.size() && b[len] != 0) ++len;
    if (len > max) {
      wrong(type, "is too long");
      return std::nullopt;
    }
    std::string s;
    s.reserve(len);
    for (std::size_t i = 0; i < len; ++i) {
      if (b[i] < 0x20 || b[i] == 0x7f) {
        wrong(type, "has control characters");
        return std::nullopt;
      }
      s.push_back(static_cast<char>(b[i]));
    }
    return s;
  }
  // The bytes; at least `min` of them.
  std::optional<Bytes> raw(unsigned type, std::size_t min = 0) {
    if (!has(type)) return std::nullopt;
    const Bytes b = payload(*at_[type]);
    if (b.size() < min) {
      wrong(type, "is too short");
      return std::nullopt;
    }
    return b;
  }
  // Exactly `len` bytes.
  std::optional<Bytes> bytes(unsigned type, std::size_t len) {
    const auto b = raw(type, len);
    if (b && b->size() != len) {
      wrong(type, "is too long");
      return std::nullopt;
    }
    return b;
  }

  void wrong(unsigned type, const char* why) {
    if (error_.empty()) error_ = fmt::format("{}: attribute {} {}", what_, type, why);
  }
  void wrong(std::string why) {
    if (error_.empty()) error_ = fmt::format("{}: {}", what_, why);
  }
  const std::string& error() const { return error_; }  // empty: none

 private:
  template <typename T>
  std::optional<T> number(unsigned type, mnl_attr_data_type as) {
    if (!has(type)) return std::nullopt;
    if (mnl_attr_validate(at_[type], as) < 0) {
      wrong(type, "has a wrong length");
      return std::nullopt;
    }
    T v;
    std::memcpy(&v, mnl_attr_get_payload(at_[type]), sizeof v);
    return v;
  }

  const char* what_;
  std::array<const nlattr*, Max + 1> at_{};
  std::string error_;
};

// The fixed header of a netlink message's payload, copied out. Null when it is cut.
template <typename Header>
const std::uint8_t* take_header(Bytes payload_bytes, Header& header) {
  if (payload_bytes.size() < sizeof(Header)) return nullptr;
  std::memcpy(&header, payload_bytes.data(), sizeof header);
  return payload_bytes.data() + sizeof header;
}

}  // namespace txp
