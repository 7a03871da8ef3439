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

// Do add_gradients for some blocks of `size` elements, side by side. Add the squares to `squares`.
template <typename T, int blocks>
CHARLOOM_INLINE void add_blocks(T* sums, const T* const* others, int count, std::ptrdiff_t from,
                                std::ptrdiff_t size, double& squares) {
  Vec<T> parts[blocks] = {};
  for (std::ptrdiff_t i = 0; i < size; i += Simd<T>::lanes)
#pragma GCC unroll 4
    for (int block = 0; block < blocks; ++block) {
      const std::ptrdiff_t at = from + block * size + i;
      Vec<T> g = load<T>(sums + at);
      for (int k = 0; k < count; ++k) g += load<T>(others[k] + at);
      if (count > 0) store<T>(sums + at, g);
      parts[block] += g * g;
    }
  for (int block = 0; block < blocks; ++block) {
    const double few = static_cast<double>(sum<T>(parts[block]));
    const std::ptrdiff_t first = from + block * size;
    squares += __builtin_isfinite(few) ? few : squares_in_double(sums, first, first + size);
  }
}

// Add the elements from `from` to before `to` of `count` other gradients to `sums`. Return the sum of
// the squares of the results. The squares of a block of vectors are added one after the other. Four
// blocks are added side by side, because each addition waits for the one before it in its block.
template <typename T>
double add_gradients(T* sums, const T* const* others, int count, std::ptrdiff_t from,
                     std::ptrdiff_t to) {
  constexpr std::ptrdiff_t size = 64 * Simd<T>::lanes;
  double squares = 0;
  for (; to - from >= 4 * size; from += 4 * size)
    add_blocks<T, 4>(sums, others, count, from, size, squares);
  for (; from < to; from += size)
    add_blocks<T, 1>(sums, others, count, from, to - from < size ? to - from : size, squares);
  return squares;
}

}  // namespace
