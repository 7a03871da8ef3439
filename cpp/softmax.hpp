// The softmax of a row of logits that is padded to whole vectors.
#pragma once

#include <limits>

#include "simd.hpp"

namespace {

// The logit of the padding beyond K: the lowest finite number, so that its exponential is 0.
template <typename T>
constexpr T padding_logit = std::numeric_limits<T>::lowest();

// Replace K logits (in `vectors` whole vectors) by exp((o - max o) / divisor). Return the sum of
// these, and set `most` to max o.
template <typename T>
CHARLOOM_INLINE T exponentials(T* row, int vectors, T& most, T divisor = 1) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> top = load<T>(row);
  for (int v = 1; v < vectors; ++v) {
    const Vec<T> next = load<T>(row + v * lanes);
    top = next > top ? next : top;
  }
  most = largest<T>(top);
  Vec<T> total{};
  for (int v = 0; v < vectors; ++v) {
    Vec<T> z = load<T>(row + v * lanes) - most;
    if (divisor != 1) z /= divisor;
    const Vec<T> e = exp<T>(z);
    store<T>(row + v * lanes, e);
    total += e;
  }
  return sum<T>(total);
}

}  // namespace
