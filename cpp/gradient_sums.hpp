// Sums of gradients and of their squares (spec/mathematics.md: The native engine).
#pragma once

#include <cstddef>

#include "simd.hpp"

namespace {

// Return the sum of squares in double, for gradients whose squares are beyond the range of T.
template <typename T>
double squares_in_double(const T* gradient, std::ptrdiff_t from, std::ptrdiff_t to) {
  double squares = 0;
  for (std::ptrdiff_t at = from; at < to; ++at)
    squares += double(gradient[at]) * double(gradient[at]);
  return squares;
}

// Add the elements from `from` to before `to` of `count` other gradients to `sums`. Return the sum of
// the squares of the results.
template <typename T>
double add_gradients(T* sums, const T* const* others, int count, std::ptrdiff_t from,
                     std::ptrdiff_t to) {
  constexpr std::ptrdiff_t lanes = Simd<T>::lanes, some = 64 * lanes;
  double squares = 0;
  for (; from < to; from += some) {
    const std::ptrdiff_t end = from + some < to ? from + some : to;
    Vec<T> part{};
    for (std::ptrdiff_t at = from; at < end; at += lanes) {
      Vec<T> g = load<T>(sums + at);
      for (int k = 0; k < count; ++k) g += load<T>(others[k] + at);
      if (count > 0) store<T>(sums + at, g);
      part += g * g;
    }
    const double few = static_cast<double>(sum<T>(part));
    squares += __builtin_isfinite(few) ? few : squares_in_double(sums, from, end);
  }
  return squares;
}

}  // namespace
