// Divides a number of things into parts whose sizes differ by at most one.
#pragma once

#include <cstdint>

#include "simd.hpp"

namespace {

// Return where part p begins if `total` is divided evenly into `parts`.
CHARLOOM_INLINE int even_start(int total, int parts, int p) {
  return static_cast<int>(static_cast<std::int64_t>(total) * p / parts);
}

}  // namespace
