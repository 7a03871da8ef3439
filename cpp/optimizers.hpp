// The optimizers (spec/mathematics.md: Optimizers and clipping): AdaGrad on a vector of weights
// whose gradient is still in registers, and every optimizer on a part of a block whose gradient is
// in memory.
#pragma once

#include <limits>

#include "kernels.hpp"
#include "simd.hpp"

namespace {

// Return epsilon, or the smallest normal number if epsilon is smaller: the kernels treat a
// subnormal number as 0, and 0 / 0 is NaN.
template <typename T>
CHARLOOM_INLINE Vec<T> small_constant(double epsilon) {
  constexpr T least = std::numeric_limits<T>::min();
  return splat<T>(static_cast<T>(epsilon) < least ? least : static_cast<T>(epsilon));
}

// Clip each entry to [-limit, limit], then apply AdaGrad with epsilon under the root: m += g²,
// theta -= eta g / sqrt(m + epsilon). Sum the squares of the gradient before clipping.
template <typename T>
struct AdaGrad {
  T *theta, *m;  // blocks of the same layout
  Vec<T> learning_rate, limit, epsilon, squares;

  AdaGrad(T* parameters, T* accumulators, double eta, double clip, double eps)
      : theta(parameters),
        m(accumulators),
        learning_rate(splat<T>(static_cast<T>(eta))),
        limit(splat<T>(static_cast<T>(clip))),
        epsilon(small_constant<T>(eps)),
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

// Has the interface of AdaGrad, but only writes the gradient to a block.
template <typename T>
struct StoreGradient {
  T* block;
  CHARLOOM_INLINE void operator()(std::ptrdiff_t at, Vec<T> g) { store<T>(block + at, g); }
};

// A `finish` for products: call `take` with the place of vector (row, v) of a matrix in the block.
template <typename T, typename Take>
struct IntoBlock {
  Take take;
  std::ptrdiff_t start, row;
  CHARLOOM_INLINE void operator()(int r, int v, Vec<T> g) {
    take(start + r * row + v * Simd<T>::lanes, g);
  }
};

// Update the elements from `start` to `end` of a block with the optimizer and settings of
// `descent`.
template <typename T>
struct BlockUpdate {
  T* theta;
  const T* gradient;
  T *first, *second;  // slots; only Adam uses the second
  const charloom::Descent& descent;
  double learning_rate, norm;
  std::int64_t update;  // the number of this update, from 1

  // `biases`: whether these elements are biases.
  void run(std::ptrdiff_t start, std::ptrdiff_t end, bool biases) const {
    const double weight_decay = biases && !descent.decays_biases ? 0.0 : descent.weight_decay;
    if (weight_decay == 0)
      choose<false>(start, end, weight_decay);
    else
      choose<true>(start, end, weight_decay);
  }

 private:
  template <bool decays>
  void choose(std::ptrdiff_t start, std::ptrdiff_t end, double weight_decay) const {
    using charloom::Rule;
    switch (descent.rule) {
      case Rule::adagrad: return apply<Rule::adagrad, decays>(start, end, weight_decay);
      case Rule::sgd: return apply<Rule::sgd, decays>(start, end, weight_decay);
      case Rule::rmsprop: return apply<Rule::rmsprop, decays>(start, end, weight_decay);
      case Rule::adam:
      case Rule::adamw: return apply<Rule::adam, decays>(start, end, weight_decay);
    }
  }

  template <charloom::Rule rule, bool decays>
  void apply(std::ptrdiff_t start, std::ptrdiff_t end, double weight_decay) const {
    using charloom::Rule;
    const bool decoupled = descent.rule == Rule::adamw;
    const bool by_value = descent.clip > 0 && !descent.clip_by_norm;
    const double shrink = descent.clip / (norm + 1e-6);
    const Vec<T> factor = cast(descent.clip > 0 && descent.clip_by_norm && shrink < 1 ? shrink : 1.0);
    const Vec<T> limit = cast(descent.clip), eta = cast(learning_rate);
    const Vec<T> epsilon = small_constant<T>(descent.epsilon);
    const Vec<T> coupled_decay = cast(decoupled ? 0.0 : weight_decay);
    const Vec<T> decoupled_factor = cast(decoupled ? 1.0 - learning_rate * weight_decay : 1.0);
    const Vec<T> momentum = cast(descent.momentum);
    const Vec<T> decay = cast(descent.decay), one_minus_decay = cast(1 - descent.decay);
    const Vec<T> beta1 = cast(descent.beta1), one_minus_beta1 = cast(1 - descent.beta1);
    const Vec<T> beta2 = cast(descent.beta2), one_minus_beta2 = cast(1 - descent.beta2);
    const double n = static_cast<double>(update);
    const Vec<T> rate = cast(learning_rate / (1 - __builtin_pow(descent.beta1, n)));
    const Vec<T> correction = cast(1 / __builtin_sqrt(1 - __builtin_pow(descent.beta2, n)));
    for (std::ptrdiff_t at = start; at < end; at += Simd<T>::lanes) {
      Vec<T> g = load<T>(gradient + at) * factor;
      if (by_value) g = at_least<T>(at_most<T>(g, limit), -limit);
      Vec<T> w = load<T>(theta + at);
      if constexpr (decays) {
        w *= decoupled_factor;
        g += coupled_decay * w;
      }
      if constexpr (rule == Rule::adagrad) {
        const Vec<T> m = load<T>(first + at) + g * g;
        store<T>(first + at, m);
        w -= eta * g * reciprocal_root(m + epsilon);
      } else if constexpr (rule == Rule::sgd) {
        const Vec<T> v = momentum * load<T>(first + at) + g;
        store<T>(first + at, v);
        w -= eta * v;
      } else if constexpr (rule == Rule::rmsprop) {
        const Vec<T> square = decay * load<T>(first + at) + one_minus_decay * g * g;
        store<T>(first + at, square);
        w -= quotient(eta * g, root(square) + epsilon);
      } else {
        const Vec<T> mean = beta1 * load<T>(first + at) + one_minus_beta1 * g;
        const Vec<T> square = beta2 * load<T>(second + at) + one_minus_beta2 * g * g;
        store<T>(first + at, mean);
        store<T>(second + at, square);
        w -= quotient(rate * mean, root(square) * correction + epsilon);
      }
      store<T>(theta + at, w);
    }
  }

  static Vec<T> cast(double value) { return splat<T>(static_cast<T>(value)); }
};

// The weights are averaged after every so many updates (spec/mathematics.md: Averaged weights).
inline constexpr std::int64_t averaged_every = 16;

// Return the rate at which the averaged weights move to the weights after an update; 0 if they stay.
inline double averaging_rate(double averaging, std::int64_t update) {
  const double length = averaging * static_cast<double>(update);
  if (averaging == 0) return 0;
  if (length <= averaged_every) return 1;
  return update % averaged_every ? 0 : averaged_every / length;
}

}  // namespace
