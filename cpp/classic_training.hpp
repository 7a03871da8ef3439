// Training of the classic network: one plain layer, one stream, AdaGrad, clipping by value (network.hpp). The
// network stays in the layout of the kernels between calls.
#pragma once

#include "network.hpp"
#include "training.hpp"

namespace {

// Return whether the kernels of network.hpp can train this network.
inline bool is_classic(Shape shape, int B, const Descent& descent) {
  return shape.cell == Cell::rnn && shape.layers == 1 && !shape.has_recent() && B == 1 &&
         descent.rule == charloom::Rule::adagrad && descent.clip > 0 && !descent.clip_by_norm &&
         !descent.mean && descent.dropout == 0 && descent.weight_decay == 0 &&
         descent.averaging == 0;
}

// If all gradients of a_t are below this limit, every entry of the gradient and the sum of their
// squares are finite.
template <typename T>
T safe_limit(int T_steps) {
  return (sizeof(T) == 4 ? T(1e15) : T(1e140)) / static_cast<T>(T_steps);
}

// Write the whole gradient to a block in the layout of the network.
template <typename T>
CHARLOOM_NOINLINE void store_gradients(Network<T>& net, int T_steps, T* block) {
  std::memset(block, 0, net.layout.end * sizeof(T));
  StoreGradient<T> take{block};
  net.each_gradient(T_steps, take);
}

// Return the norm of a gradient whose entries may be very large: it is summed in double.
template <typename T>
double norm_in_double(const T* block, std::ptrdiff_t count) {
  double squares = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) squares += double(block[i]) * double(block[i]);
  return __builtin_sqrt(squares);
}

inline bool read_ids(charloom::Tokens tokens, std::size_t from, int count, int K, std::int32_t* to) {
  bool below = true;
  for (int i = 0; i < count; ++i) {
    to[i] = static_cast<std::int32_t>(tokens.id(from + static_cast<std::size_t>(i)));
    below = below && to[i] >= 0 && to[i] < K;
  }
  return below;
}

template <typename T>
class ClassicTraining final : public InTraining<T> {
 public:
  ClassicTraining(Shape shape, int T_steps, const Descent& descent)
      : descent_(descent),
        net_(shape, T_steps, true),
        scratch_(static_cast<std::size_t>(net_.layout.end)) {
    if (ok()) block_ = scratch_.take(net_.layout.end);
  }

  bool ok() const override { return net_.ok() && scratch_.ok(); }

  void load_arrays(Arrays<T> weights, const Arrays<T>* slots, State<T> state) override {
    net_.read(Weights<T>(weights));
    net_.layout.pack(Weights<T>(slots[0]), net_.accumulators);
    net_.set_state(state.h);
  }

  void store_arrays(Arrays<T> weights, const Arrays<T>* slots, State<T> state) const override {
    net_.layout.unpack(net_.theta, Weights<T>(weights));
    net_.layout.unpack(net_.accumulators, Weights<T>(slots[0]));
    net_.get_state(0, state.h);
  }

  CHARLOOM_NOINLINE TrainResult train(const charloom::Windows& windows, const Team&, double* losses,
                                      double* norms) override {
    const NoSubnormals fast;
    TrainResult result{};
    const int T_steps = windows.T;
    for (int u = 0; u < windows.count; ++u) {
      if (windows.reset(u)) net_.reset_state();
      const auto e = static_cast<std::size_t>(windows.start(u, 0));
      if (!read_ids(windows.tokens, e, T_steps, net_.layout.K, net_.x) ||
          !read_ids(windows.tokens, e + 1, T_steps, net_.layout.K, net_.y)) {
        result.bad_id = true;
        break;
      }
      net_.run(T_steps);
      net_.logits(T_steps);
      const double loss = net_.loss(T_steps);
      const bool small = net_.backward(T_steps, safe_limit<T>(T_steps));
      AdaGrad<T> update(net_.theta, net_.accumulators, windows.learning_rates[u], descent_.clip,
                        descent_.epsilon);
      double norm;
      if (small && __builtin_isfinite(loss)) {
        net_.each_gradient(T_steps, update);
        norm = update.norm();
      } else {
        // The gradient may be not finite: compute all of it before any weight changes.
        store_gradients(net_, T_steps, block_);
        norm = norm_in_double(block_, net_.layout.end);
        if (!__builtin_isfinite(loss) || !__builtin_isfinite(norm)) {
          result.not_finite = true;
          result.loss = loss;
          result.norm = norm;
          break;
        }
        for (std::ptrdiff_t at = 0; at < net_.layout.end; at += Simd<T>::lanes)
          update(at, load<T>(block_ + at));
      }
      net_.refresh_transpose();
      net_.move_state_to_start(T_steps);
      losses[u] = loss;
      norms[u] = norm;
      ++result.updates;
    }
    return result;
  }

 private:
  const Descent descent_;
  Network<T> net_;
  Memory<T> scratch_;
  T* block_ = nullptr;  // the gradient, if it must be tested first
};

}  // namespace
