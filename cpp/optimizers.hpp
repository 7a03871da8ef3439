// The update rules, applied to a vector of weights while its gradient is still in registers.
#pragma once

#include "simd.hpp"

namespace {

// Clip each entry to [-limit, limit], then AdaGrad with the constant under the root:
// m += g², theta -= eta g / sqrt(m + epsilon). Sums the squares of the unclipped gradient.
template <typename T>
struct AdaGrad {
  T *theta, *m;  // blocks of the same layout
  Vec<T> learning_rate, limit, epsilon, squares;

  AdaGrad(T* parameters, T* accumulators, double eta, double clip, double eps)
      : theta(parameters),
        m(accumulators),
        learning_rate(splat<T>(static_cast<T>(eta))),
        limit(splat<T>(static_cast<T>(clip))),
        epsilon(splat<T>(static_cast<T>(eps))),
        squares{} {}

  CHARLOOM_INLINE void operator()(std::ptrdiff_t at, Vec<T> g) {
    squares += g * g;
    g = at_least<T>(at_most<T>(g, limit), -limit);
    const Vec<T> accumulated = load<T>(m + at) + g * g;
    store<T>(m + at, accumulated);
    store<T>(theta + at,
             load<T>(theta + at) - learning_rate * g * reciprocal_root(accumulated + epsilon));
  }

  double norm() const { return __builtin_sqrt(static_cast<double>(sum<T>(squares))); }
};

// The unfused twin: writes the gradient to a block.
template <typename T>
struct StoreGradient {
  T* block;
  CHARLOOM_INLINE void operator()(std::ptrdiff_t at, Vec<T> g) { store<T>(block + at, g); }
};

// A finish for products: hands the vector (row, v) of a matrix to `take` by its place in the block.
template <typename T, typename Take>
struct IntoBlock {
  Take take;
  std::ptrdiff_t start, row;
  CHARLOOM_INLINE void operator()(int r, int v, Vec<T> g) {
    take(start + r * row + v * Simd<T>::lanes, g);
  }
};

}  // namespace
