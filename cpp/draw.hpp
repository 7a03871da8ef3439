// Draws a character from a row of logits (spec/mathematics.md: Sampling). This file knows nothing
// of networks.
#pragma once

#include "kernels.hpp"
#include "softmax.hpp"

namespace {

using charloom::Sampler;

// Draws ids from rows of K logits, which are padded to whole vectors. Rows are overwritten.
template <typename T>
class CharacterSampler {
 public:
  // `order` is memory for K ids.
  CharacterSampler(int K, int vectors, const Sampler& sampler, std::int32_t* order)
      : K_(K), vectors_(vectors), sampler_(sampler), order_(order) {}

  bool finite(const T* row) const {
    Vec<T> zeros{};
    for (int v = 0; v < vectors_; ++v) zeros += load<T>(row + v * Simd<T>::lanes) * T(0);
    return sum<T>(zeros) == 0;
  }

  // Return the id that `uniform` selects. `recent` has the `count` ids of the text so far. The row
  // is overwritten.
  int draw(T* row, const std::int32_t* recent, std::size_t count, double uniform) const {
    if (sampler_.penalty != 1) penalize(row, recent, count);
    const T temperature = static_cast<T>(sampler_.temperature);
    if (temperature == 0) return largest_id(row);
    T most;
    exponentials<T>(row, vectors_, most, temperature);
    // At an extremely high temperature even the padding gets a weight, but it is not a character.
    for (int k = K_; k < vectors_ * Simd<T>::lanes; ++k) row[k] = 0;
    if (sampler_.top_k > 0 || sampler_.top_p < 1 || sampler_.min_p > 0) zero_unlikely(row);
    return choose(row, uniform);
  }

 private:
  // Divide positive logits of recent ids by the penalty and multiply the others by it, each id
  // once.
  void penalize(T* row, const std::int32_t* recent, std::size_t count) const {
    const std::size_t window = static_cast<std::size_t>(sampler_.window);
    const std::size_t first = count > window ? count - window : 0;
    const T penalty = static_cast<T>(sampler_.penalty);
    for (std::size_t i = first; i < count; ++i) {
      bool done = false;
      for (std::size_t j = first; j < i && !done; ++j) done = recent[j] == recent[i];
      if (done) continue;
      T& logit = row[recent[i]];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }

  int largest_id(const T* row) const {
    int best = 0;
    for (int k = 1; k < K_; ++k)
      if (row[k] > row[best]) best = k;
    return best;
  }

  // Apply top-k, top-p and min-p, in this order: set every weight that they leave out to 0.
  void zero_unlikely(T* row) const {
    for (int k = 0; k < K_; ++k) order_[k] = k;
    // Order by falling weight, equal weights by rising id. Heap sort needs no additional memory.
    const auto before = [&](int a, int b) { return row[a] > row[b] || (row[a] == row[b] && a < b); };
    const auto sift = [&](int from, int end) {
      for (int child; (child = 2 * from + 1) < end; from = child) {
        if (child + 1 < end && before(order_[child], order_[child + 1])) ++child;
        if (!before(order_[from], order_[child])) return;
        const std::int32_t swapped = order_[from];
        order_[from] = order_[child];
        order_[child] = swapped;
      }
    };
    for (int i = K_ / 2 - 1; i >= 0; --i) sift(i, K_);
    for (int end = K_ - 1; end > 0; --end) {
      const std::int32_t swapped = order_[0];
      order_[0] = order_[end];
      order_[end] = swapped;
      sift(0, end);
    }
    int kept = sampler_.top_k > 0 && sampler_.top_k < K_ ? sampler_.top_k : K_;
    if (sampler_.top_p < 1) {
      double total = 0, running = 0;
      for (int i = 0; i < kept; ++i) total += static_cast<double>(row[order_[i]]);
      int enough = 0;
      while (enough < kept) {
        running += static_cast<double>(row[order_[enough++]]);
        if (running >= sampler_.top_p * total) break;
      }
      kept = enough;
    }
    const T least = static_cast<T>(sampler_.min_p) * row[order_[0]];
    for (int i = 0; i < K_; ++i)
      if (i >= kept || row[order_[i]] < least) row[order_[i]] = 0;
  }

  // Return the first id at which the running sum of weights exceeds uniform times their total.
  int choose(const T* row, double uniform) const {
    constexpr int lanes = Simd<T>::lanes;
    double total = 0;
    for (int v = 0; v < vectors_; ++v)
      total += static_cast<double>(sum<T>(load<T>(row + v * lanes)));
    const double target = uniform * total;
    double running = 0;
    int v = 0;
    for (; v + 1 < vectors_; ++v) {
      const double next = running + static_cast<double>(sum<T>(load<T>(row + v * lanes)));
      if (next > target) break;
      running = next;
    }
    const int last = v * lanes + lanes < K_ ? v * lanes + lanes - 1 : K_ - 1;
    for (int k = v * lanes; k <= last; ++k) {
      running += static_cast<double>(row[k]);
      if (running > target) return k;
    }
    // Rounding can keep the running sum below the target: return the last id with a weight.
    int k = last;
    while (k > 0 && row[k] == 0) --k;
    return k;
  }

  const int K_, vectors_;
  const Sampler sampler_;
  std::int32_t* order_;
};

}  // namespace
