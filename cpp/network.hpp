// The plain network of one layer and one stream over one window: forward, backward, and the update
// fused into the gradient (spec/mathematics.md: The network; The native engine).
//
// Only the recurrence runs step by step. Logits, dV, dW and the gradient of h from the outputs are
// products over all T steps. AdaGrad takes each entry of the gradient from the registers, so the
// gradient is never written to memory. x is an index, so only the columns of dU that were read are
// computed. Measure it with: charloom bench. docs/LOG.md has the versions and their speed.
#pragma once

#include <cstring>

#include "gemm.hpp"
#include "kernels.hpp"
#include "memory.hpp"
#include "optimizers.hpp"
#include "softmax.hpp"

namespace {

using charloom::Shape;

// The arrays of a plain network of one layer: U (H, K), W (H, H), b (H), V (K, H), c (K).
template <typename T>
struct Weights {
  T *U, *W, *b, *V, *c;

  explicit Weights(charloom::Arrays<T> in) : U(in[0]), W(in[1]), b(in[2]), V(in[3]), c(in[4]) {}
};

// The place of each parameter in a block of vectors. Matrices are stored input by input
// (transposed), so that the outputs of one input are neighbours. Rows are padded to whole vectors.
template <typename T>
struct Layout {
  static constexpr int lanes = Simd<T>::lanes;
  int H, K, boundary, vectors_H, vectors_K;
  std::ptrdiff_t Hp, Kp;              // padded lengths
  std::ptrdiff_t U, W, b, V, c, end;  // U (K, Hp), W (Hp, Hp), b (Hp), V (Hp, Kp), c (Kp)

  explicit Layout(Shape shape) : H(shape.H), K(shape.K), boundary(shape.boundary) {
    vectors_H = (H + lanes - 1) / lanes;
    vectors_K = (K + lanes - 1) / lanes;
    Hp = static_cast<std::ptrdiff_t>(vectors_H) * lanes;
    Kp = static_cast<std::ptrdiff_t>(vectors_K) * lanes;
    U = 0;
    W = U + K * Hp;
    b = W + Hp * Hp;
    V = b + Hp;
    c = V + Hp * Kp;
    end = c + Kp;
  }

  void pack(Weights<T> from, T* to) const {
    copy_transposed<T>(from.U, H, K, K, to + U, Hp);
    copy_transposed<T>(from.W, H, H, H, to + W, Hp);
    copy_transposed<T>(from.V, K, H, H, to + V, Kp);
    std::memcpy(to + b, from.b, static_cast<std::size_t>(H) * sizeof(T));
    std::memcpy(to + c, from.c, static_cast<std::size_t>(K) * sizeof(T));
  }

  void unpack(const T* from, Weights<T> to) const {
    copy_transposed<T>(from + U, K, H, Hp, to.U, K);
    copy_transposed<T>(from + W, H, H, Hp, to.W, H);
    copy_transposed<T>(from + V, H, K, Kp, to.V, H);
    std::memcpy(to.b, from + b, static_cast<std::size_t>(H) * sizeof(T));
    std::memcpy(to.c, from + c, static_cast<std::size_t>(K) * sizeof(T));
  }
};

// A network that processes windows of up to T steps: packed weights, and the buffers of one window.
template <typename T>
class Network {
 public:
  static constexpr int lanes = Simd<T>::lanes;

  Network(Shape shape, int T_steps, bool learns)
      : layout(shape),
        memory_(elements(layout, T_steps, learns)),
        learns_(learns) {
    if (!memory_.ok()) return;
    theta = memory_.take(layout.end);
    h = memory_.take((T_steps + 1) * layout.Hp);
    o = memory_.take(T_steps * layout.Kp);
    if (learns) {
      accumulators = memory_.take(layout.end);
      V_back = memory_.take(layout.Kp * layout.Hp);
      da = memory_.take(T_steps * layout.Hp);
      first_ = memory_.take(layout.Hp);
    }
    zeros_ = memory_.take(widest(layout));
    x = reinterpret_cast<std::int32_t*>(memory_.take(id_elements(T_steps)));
    y = reinterpret_cast<std::int32_t*>(memory_.take(id_elements(T_steps)));
    for (std::ptrdiff_t k = layout.K; k < layout.Kp; ++k) theta[layout.c + k] = padding_logit<T>;
  }

  bool ok() const { return memory_.ok(); }

  void read(Weights<T> weights) {
    layout.pack(weights, theta);
    if (learns_) refresh_transpose();
  }

  // Run the recurrence over T steps from h[0]: h[t+1] = tanh(W h[t] + U[x_t] + b), with 0 instead of h[t] where an
  // item begins (spec/mathematics.md: Items).
  void run(int T_steps) {
    const T* W = theta + layout.W;
    const T* b = theta + layout.b;
    for (int t = 0; t < T_steps; ++t) {
      const T* U_x = theta + layout.U + x[t] * layout.Hp;
      T* h_next = h + (t + 1) * layout.Hp;
      row_product<T>(
          layout.vectors_H, layout.H, begins_item(t) ? zeros_ : h + t * layout.Hp, Rows<const T>{W, layout.Hp}, t & 1,
          [&](int v) CHARLOOM_LAMBDA { return load<T>(U_x + v * lanes) + load<T>(b + v * lanes); },
          [&](int v, Vec<T> a) CHARLOOM_LAMBDA { store<T>(h_next + v * lanes, tanh<T>(a)); });
    }
  }

  // Compute the logits of T steps: o[t] = V h[t+1] + c.
  void logits(int T_steps) {
    store_product<T>(T_steps, layout.vectors_K, layout.H, {h + layout.Hp, layout.Hp, 1},
                     {theta + layout.V, layout.Kp}, theta + layout.c, {o, layout.Kp});
  }

  // Return the loss of T steps in nats. The logits o become their gradient, softmax(o) - onehot(y).
  double loss(int T_steps) {
    double total = 0;
    for (int t = 0; t < T_steps; ++t) {
      T* row = o + t * layout.Kp;
      const T target = row[y[t]];
      T most;
      const T normalizer = exponentials<T>(row, layout.vectors_K, most);
      total += __builtin_log(static_cast<double>(normalizer)) - (double(target) - double(most));
      const T scale = T(1) / normalizer;
      for (int v = 0; v < layout.vectors_K; ++v)
        store<T>(row + v * lanes, load<T>(row + v * lanes) * scale);
      row[y[t]] -= T(1);
    }
    return total;
  }

  // Compute the gradient of a_t for all steps, by BPTT. Return whether the absolute value of every
  // entry is below `limit`; a NaN is not.
  bool backward(int T_steps, T limit) {
    store_product<T>(T_steps, layout.vectors_H, layout.K, {o, layout.Kp, 1}, {V_back, layout.Hp},
                     zeros_, {da, layout.Hp});
    IntVec<T> small = ~IntVec<T>{};
    const Vec<T> bound = splat<T>(limit);
    const auto through_tanh = [&](int t, int v, Vec<T> dh) CHARLOOM_LAMBDA {
      const Vec<T> h_t = load<T>(h + (t + 1) * layout.Hp + v * lanes);
      const Vec<T> gradient = dh * (T(1) - h_t * h_t);
      small &= (absolute<T>(gradient) < bound);
      store<T>(da + t * layout.Hp + v * lanes, gradient);
    };
    for (int v = 0; v < layout.vectors_H; ++v)
      through_tanh(T_steps - 1, v, load<T>(da + (T_steps - 1) * layout.Hp + v * lanes));
    for (int t = T_steps - 1; t > 0; --t) {
      const T* dh = da + (t - 1) * layout.Hp;
      if (begins_item(t)) {  // no gradient passes back
        for (int v = 0; v < layout.vectors_H; ++v) through_tanh(t - 1, v, load<T>(dh + v * lanes));
        continue;
      }
      dot_products<T>(layout.H, layout.vectors_H, da + t * layout.Hp,
                      Rows<const T>{theta + layout.W, layout.Hp}, t & 1,
                      [&](int v, Vec<T> carried) CHARLOOM_LAMBDA {
                        through_tanh(t - 1, v, load<T>(dh + v * lanes) + carried);
                      });
    }
    bool all = true;
    for (int i = 0; i < lanes; ++i) all = all && small[i] != 0;
    return all;
  }

  // Call take(place in a block, gradient) once for each vector of the exact gradient. Columns of U
  // that the window did not read have the gradient 0 and are left out. The contents of da are
  // overwritten, and the states before later beginnings of items become 0.
  template <typename Take>
  CHARLOOM_INLINE void each_gradient(int T_steps, Take& take) {
    matrix_gradient(T_steps, h + layout.Hp, {o, layout.Kp}, layout.vectors_K, layout.V, take);
    std::memcpy(first_, h, layout.Hp * sizeof(T));
    for (int t = 0; t < T_steps; ++t)
      if (begins_item(t)) std::memset(h + t * layout.Hp, 0, layout.Hp * sizeof(T));
    matrix_gradient(T_steps, h, {da, layout.Hp}, layout.vectors_H, layout.W, take);
    std::memcpy(h, first_, layout.Hp * sizeof(T));  // an update that is not applied keeps it
    for (int v = 0; v < layout.vectors_K; ++v) {
      Vec<T> g{};
      for (int t = 0; t < T_steps; ++t) g += load<T>(o + t * layout.Kp + v * lanes);
      take(layout.c + v * lanes, g);
    }
    for (int v = 0; v < layout.vectors_H; ++v) {
      Vec<T> g{};
      for (int t = 0; t < T_steps; ++t) g += load<T>(da + t * layout.Hp + v * lanes);
      take(layout.b + v * lanes, g);
    }
    for (int t = 0; t < T_steps; ++t) {
      bool seen = false;
      for (int s = 0; s < t && !seen; ++s) seen = x[s] == x[t];
      if (seen) continue;
      T* column = da + t * layout.Hp;
      for (int s = t + 1; s < T_steps; ++s)
        if (x[s] == x[t])
          for (int v = 0; v < layout.vectors_H; ++v)
            store<T>(column + v * lanes,
                     load<T>(column + v * lanes) + load<T>(da + s * layout.Hp + v * lanes));
      for (int v = 0; v < layout.vectors_H; ++v)
        take(layout.U + x[t] * layout.Hp + v * lanes, load<T>(column + v * lanes));
    }
  }

  // Write V (K, H), the transpose of V (H, K) of the block, for the product in `backward`.
  void refresh_transpose() {
    for (int k = 0; k < layout.vectors_K; ++k)
      for (int j = 0; j < layout.vectors_H; ++j)
        transpose_block<T>(theta + layout.V + j * lanes * layout.Kp + k * lanes, layout.Kp,
                           V_back + k * lanes * layout.Hp + j * lanes, layout.Hp);
  }

  void reset_state() { std::memset(h, 0, layout.Hp * sizeof(T)); }
  void set_state(const T* from) { std::memcpy(h, from, layout.H * sizeof(T)); }
  void get_state(int t, T* to) const {
    std::memcpy(to, h + t * layout.Hp, layout.H * sizeof(T));
  }
  // Copy the state after step t to the place of the state before step 0.
  void move_state_to_start(int t) { std::memcpy(h, h + t * layout.Hp, layout.Hp * sizeof(T)); }

  Layout<T> layout;
  T *theta = nullptr, *accumulators = nullptr;  // blocks, in the layout
  T* V_back = nullptr;                          // (Kp, Hp)
  T *h = nullptr, *o = nullptr, *da = nullptr;  // (T+1, Hp), (T, Kp), (T, Hp)
  std::int32_t *x = nullptr, *y = nullptr;      // (T)

 private:
  // Return whether an item begins at step t.
  bool begins_item(int t) const { return x[t] == layout.boundary; }

  // Pass the gradient of the matrix at `start` of the block to `take`: the sum over the steps of each
  // entry of a row of h times the row of `gradients`.
  template <typename Take>
  CHARLOOM_INLINE void matrix_gradient(int T_steps, const T* from, Rows<const T> gradients,
                                       int vectors, std::ptrdiff_t start, Take& take) {
    IntoBlock<T, Take> into{take, start, gradients.row};
    product<T>(layout.H, vectors, T_steps, Scalars<T>{from, 1, layout.Hp}, gradients,
               [](int) CHARLOOM_LAMBDA { return Vec<T>{}; }, into);
    take = into.take;
  }
  void matrix_gradient(int T_steps, const T* from, Rows<const T> gradients, int vectors,
                       std::ptrdiff_t start, StoreGradient<T>& take) {
    store_product<T>(layout.H, vectors, T_steps, {from, 1, layout.Hp}, gradients, zeros_,
                     {take.block + start, gradients.row});
  }

  static std::ptrdiff_t id_elements(int T_steps) {
    const std::ptrdiff_t per = vector_bytes / 4;
    return (T_steps + per - 1) / per * (vector_bytes / sizeof(T));
  }
  static std::size_t elements(const Layout<T>& l, int T_steps, bool learns) {
    std::ptrdiff_t n = l.end + (T_steps + 1) * l.Hp + T_steps * l.Kp + 2 * id_elements(T_steps);
    n += widest(l);
    if (learns) n += l.end + l.Kp * l.Hp + (T_steps + 1) * l.Hp;
    return static_cast<std::size_t>(n);
  }
  static std::ptrdiff_t widest(const Layout<T>& l) { return l.Hp > l.Kp ? l.Hp : l.Kp; }

  Memory<T> memory_;
  bool learns_;
  const T* zeros_ = nullptr;  // one row
  T* first_ = nullptr;        // (Hp): the state before step 0
};

}  // namespace
