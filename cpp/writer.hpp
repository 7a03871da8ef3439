// Sampling from the plain network of one layer, one character at a time (spec/mathematics.md:
// Sampling).
//
// The next recurrence W h and the logits V h both need only h. Their columns are side by side in
// one matrix, and one pass over it computes both. Every pass has the same direction, so that the
// bits do not depend on how a text is divided into calls.
#pragma once

#include "network.hpp"

namespace {

template <typename T>
class Writer {
 public:
  static constexpr int lanes = Simd<T>::lanes;

  Writer(Shape shape, Weights<T> weights)
      : layout_(shape),
        width_(layout_.Hp + layout_.Kp),
        memory_(layout_.end + layout_.H * width_ + layout_.Hp + 2 * width_) {
    if (!memory_.ok()) return;
    theta_ = memory_.take(layout_.end);
    both_ = memory_.take(layout_.H * width_);
    h_ = memory_.take(layout_.Hp);
    biases_ = memory_.take(width_);
    sums_ = memory_.take(width_);
    layout_.pack(weights, theta_);
    for (int j = 0; j < layout_.H; ++j) {
      T* row = both_ + j * width_;
      std::memcpy(row, theta_ + layout_.W + j * layout_.Hp, layout_.Hp * sizeof(T));
      std::memcpy(row + layout_.Hp, theta_ + layout_.V + j * layout_.Kp, layout_.Kp * sizeof(T));
    }
    std::memcpy(biases_, theta_ + layout_.b, layout_.Hp * sizeof(T));
    std::memcpy(biases_ + layout_.Hp, theta_ + layout_.c, layout_.Kp * sizeof(T));
    for (std::ptrdiff_t k = layout_.K; k < layout_.Kp; ++k)
      biases_[layout_.Hp + k] = padding_logit<T>;
  }

  bool ok() const { return memory_.ok(); }

  void begin(State<T> state) {
    std::memcpy(h_, state.h, layout_.H * sizeof(T));
    multiply();
  }
  void end(State<T> state) const { std::memcpy(state.h, h_, layout_.H * sizeof(T)); }

  // Read one character: compute the state, the logits after it and the next recurrence.
  void read(int id) {
    const T* U_x = theta_ + layout_.U + id * layout_.Hp;
    const T* sums = id == layout_.boundary ? biases_ : sums_;  // an item begins with the zero state
    for (int v = 0; v < layout_.vectors_H; ++v)
      store<T>(h_ + v * lanes, tanh<T>(load<T>(sums + v * lanes) + load<T>(U_x + v * lanes)));
    multiply();
  }

  T* logits() const { return sums_ + layout_.Hp; }
  int vectors() const { return layout_.vectors_K; }

 private:
  void multiply() {
    row_product<T>(
        layout_.vectors_H + layout_.vectors_K, layout_.H, h_, Rows<const T>{both_, width_},
        false, [&](int v) CHARLOOM_LAMBDA { return load<T>(biases_ + v * lanes); },
        [&](int v, Vec<T> total) CHARLOOM_LAMBDA { store<T>(sums_ + v * lanes, total); });
  }

  Layout<T> layout_;
  std::ptrdiff_t width_;
  Memory<T> memory_;
  T *theta_ = nullptr, *both_ = nullptr;  // the block; the columns of W and V side by side (H, Hp + Kp)
  T *h_ = nullptr, *biases_ = nullptr, *sums_ = nullptr;
};

}  // namespace
