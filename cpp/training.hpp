// Training of any network, with the streams divided among threads (spec/mathematics.md: The native
// engine). The network stays in the layout of the kernels between calls.
//
// There are as many parts as threads. Each part of the streams is run forward and backward and gives
// a gradient. Then each part of the block sums the gradients and their squares, applies the update,
// and makes the transposed copies. Any thread can do a part, so the order of every sum depends only
// on the number of threads, and the bits repeat for the same number.
#pragma once

#include <cstring>
#include <new>

#include "optimizers.hpp"
#include "phases.hpp"
#include "row_updates.hpp"
#include "stack.hpp"

namespace {

using charloom::Descent;
using charloom::Team;
using charloom::TrainResult;

// A network that is trained. The functions are those of `Kernels` with the same names.
template <typename T>
class InTraining {
 public:
  virtual ~InTraining() = default;
  virtual bool ok() const = 0;  // there was enough memory
  virtual void load_arrays(Arrays<T> weights, const Arrays<T>* slots, State<T> state) = 0;
  virtual void store_arrays(Arrays<T> weights, const Arrays<T>* slots, State<T> state) const = 0;
  virtual TrainResult train(const charloom::Windows& windows, const Team& team, double* losses,
                            double* norms) = 0;
};

template <typename T>
class Training final : public InTraining<T> {
 public:
  static constexpr int lanes = Simd<T>::lanes;
  static constexpr int most_threads = 256;

  Training(const Model<T>& model, int T_steps, int B, const Descent& descent, int threads)
      : layout_(model.shape, B),
        descent_(descent),
        threads_(threads),
        slot_count_(descent.slots()),
        pairs_used_(model.pairs.used),
        memory_(static_cast<std::size_t>(layout_.end) * (1 + slot_count_ + threads) +
                static_cast<std::size_t>(layout_.back_end)),
        row_updates_(layout_, descent_, threads) {
    ok_ = memory_.ok() && row_updates_.ok();
    if (!ok_) return;
    block_ = memory_.take(layout_.end);
    for (int k = 0; k < slot_count_; ++k) slots_[k] = memory_.take(layout_.end);
    back_ = memory_.take(layout_.back_end);
    const Purpose purpose{true, Dropout<T>(descent.dropout, 0, 0).any()};
    for (int thread = 0; thread < threads; ++thread) {
      gradients_[thread] = memory_.take(layout_.end);
      stacks_[thread] = new (std::nothrow)
          LayerStack<T>(layout_, model, T_steps, streams_of(B, threads, thread), purpose);
      if (stacks_[thread] == nullptr || !stacks_[thread]->ok())
        ok_ = false;
      else
        row_updates_.set_gradients(thread, &stacks_[thread]->pair_gradients);
    }
  }
  ~Training() override {
    for (int thread = 0; thread < threads_; ++thread) delete stacks_[thread];
  }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  bool ok() const override { return ok_; }

  void load_arrays(Arrays<T> weights, const Arrays<T>* slots, State<T> state) override {
    layout_.pack(weights, block_);
    for (int k = 0; k < slot_count_; ++k) layout_.pack(slots[k], slots_[k]);
    layout_.transpose(block_, back_, 0, 1);
    if (layout_.shape.pairs) {
      const int last = layout_.shape.arrays() - 1;
      pair_inputs_ = weights[last];
      for (int k = 0; k < slot_count_; ++k) row_slots_[k] = slots[k][last];
    }
    for (int thread = 0; thread < threads_; ++thread) {
      stacks_[thread]->set_pair_inputs(pair_inputs_);
      stacks_[thread]->set_state({state.h, state.cell, state.recent});
    }
  }

  void store_arrays(Arrays<T> weights, const Arrays<T>* slots, State<T> state) const override {
    layout_.unpack(block_, weights);
    for (int k = 0; k < slot_count_; ++k) layout_.unpack(slots_[k], slots[k]);
    for (int thread = 0; thread < threads_; ++thread) stacks_[thread]->get_state(state, 0);
  }

  TrainResult train(const charloom::Windows& windows, const Team& team, double* losses,
                    double* norms) override {
    windows_ = windows;
    losses_ = losses;
    norms_ = norms;
    result_ = {};
    u_ = 0;
    phase_ = Phase::gradients;
    if (windows.count > 0) run_phases(team, *this);
    return result_;
  }

  // Do one part of the current phase of update u_.
  void do_part(int part) {
    switch (phase_) {
      case Phase::gradients: return compute_gradient(part);
      case Phase::sums: {
        part_squares_[part] = sum_gradients(start_of(part), start_of(part + 1));
        if (layout_.shape.pairs) part_squares_[part] += row_updates_.sum(part);
        return;
      }
      case Phase::weights: return apply_update(part);
      case Phase::copies: return layout_.transpose(block_, back_, part, threads_);
    }
  }

  // Go to the next phase. Return false after the last update, and before one that is not finite.
  bool next_phase() {
    switch (phase_) {
      case Phase::gradients: phase_ = Phase::sums; return true;
      case Phase::sums: phase_ = Phase::weights; return total();
      case Phase::weights: phase_ = Phase::copies; return true;
      case Phase::copies: phase_ = Phase::gradients; return ++u_ < windows_.count;
    }
    return false;
  }

 private:
  enum class Phase { gradients, sums, weights, copies };

  // Run the streams of one part forward and backward.
  void compute_gradient(int part) {
    LayerStack<T>& stack = *stacks_[part];
    if (windows_.reset(u_)) stack.reset_state();
    bad_[part] = !read(stack, part, u_);
    if (bad_[part]) return;
    const double scale = 1.0 / windows_.B / (descent_.mean ? windows_.T : 1);
    const Dropout<T> dropout(descent_.dropout, descent_.seed, update());
    stack.forward(block_, windows_.T, dropout);
    part_loss_[part] = stack.loss(windows_.T, static_cast<T>(scale));
    stack.backward(back_, windows_.T, dropout.any(), gradients_[part]);
  }

  // Compute the loss and the norm. Return whether the update can be applied.
  bool total() {
    bool bad = false;
    double loss = 0, squares = 0;
    for (int part = 0; part < threads_; ++part) {
      bad = bad || bad_[part];
      loss += part_loss_[part];
      squares += part_squares_[part];
    }
    loss /= windows_.B;
    const double norm = __builtin_sqrt(squares);
    if (bad || !__builtin_isfinite(loss) || !__builtin_isfinite(norm)) {
      result_.bad_id = bad;
      result_.not_finite = !bad;
      result_.loss = loss;
      result_.norm = norm;
      return false;
    }
    losses_[u_] = loss;
    norms_[u_] = norm;
    ++result_.updates;
    return true;
  }

  // Update one part of the block, and let the streams of one part continue from their last states.
  void apply_update(int part) {
    const std::ptrdiff_t start = start_of(part), end = start_of(part + 1);
    const BlockUpdate<T> apply{block_,     gradients_[0], slots_[0],
                               slots_[1],  descent_,      windows_.learning_rates[u_],
                               norms_[u_], update()};
    layout_.each_part([&](std::ptrdiff_t first, std::ptrdiff_t last, bool biases) {
      apply.run(first > start ? first : start, last < end ? last : end, biases);
    });
    average(start, end, averaging_rate(descent_.averaging, update()));
    if (layout_.shape.pairs) update_rows(part);
    stacks_[part]->move_state_to_start(windows_.T);
  }

  // Update the inputs of pairs of one part, and move their averages.
  void update_rows(int part) {
    row_updates_.update(part, pair_inputs_, row_slots_, windows_.learning_rates[u_], norms_[u_], update());
    row_updates_.average(part, pair_inputs_, row_slots_[slot_count_ - 1],
                         averaging_rate(descent_.averaging, update()), pairs_used_);
  }

  // Move one part of the averaged weights towards the weights.
  void average(std::ptrdiff_t start, std::ptrdiff_t end, double rate) const {
    if (rate == 0) return;
    T* averages = slots_[slot_count_ - 1];
    if (rate == 1) {  // a sum would round
      std::memcpy(averages + start, block_ + start, static_cast<std::size_t>(end - start) * sizeof(T));
      return;
    }
    const Vec<T> r = splat<T>(static_cast<T>(rate));
    for (std::ptrdiff_t at = start; at < end; at += lanes) {
      const Vec<T> old = load<T>(averages + at);
      store<T>(averages + at, old + r * (load<T>(block_ + at) - old));
    }
  }

  // Return the number of the current update, from 1.
  std::int64_t update() const { return windows_.update + u_ + 1; }

  // Return where a part of the block starts.
  std::ptrdiff_t start_of(int part) const {
    return layout_.end / lanes * part / threads_ * lanes;
  }

  // Read the ids of window u for the streams of one part. Return false if an id is not below K.
  bool read(LayerStack<T>& stack, int part, int u) const {
    const int first = even_start(windows_.B, threads_, part), T_steps = windows_.T;
    for (int s = 0; s < stack.B; ++s) {
      const auto at = static_cast<std::size_t>(windows_.start(u, first + s));
      const std::int64_t place = windows_.place(u, first + s);
      auto next = static_cast<std::int32_t>(windows_.tokens.id(at));
      for (int t = 0; t < T_steps; ++t) {
        const std::int32_t id = next;
        next = static_cast<std::int32_t>(windows_.tokens.id(at + t + 1));
        if (id < 0 || id >= layout_.shape.K || next < 0 || next >= layout_.shape.K) return false;
        const std::ptrdiff_t n = std::ptrdiff_t(t) * stack.B + s;
        stack.x[n] = id;
        stack.y[n] = next;
        if (!stack.mixer.on()) continue;
        if (windows_.columns)
          stack.mixer.set_given_column(n, windows_.columns[at + t + 1]);
        else
          stack.mixer.set_column(n, place + t + 1);
      }
    }
    return true;
  }

  // Sum the gradients of all parts of the streams into the first one, for one part of the block. Return the sum
  // of the squares.
  double sum_gradients(std::ptrdiff_t start, std::ptrdiff_t end) const {
    return add_gradients<T>(gradients_[0], gradients_ + 1, threads_ - 1, start, end);
  }

  const PanelLayout<T> layout_;
  const Descent descent_;
  const int threads_, slot_count_;
  const std::size_t pairs_used_;
  Memory<T> memory_;
  RowUpdates<T> row_updates_;
  bool ok_ = false;
  // The windows and results of the present call.
  charloom::Windows windows_{};
  double *losses_ = nullptr, *norms_ = nullptr;
  TrainResult result_{};
  Phase phase_ = Phase::gradients;
  int u_ = 0;  // number of updates that it has applied
  T *block_ = nullptr, *back_ = nullptr, *slots_[3] = {};
  T *pair_inputs_ = nullptr, *row_slots_[3] = {};  // the inputs of pairs and their slots, which are not packed
  T* gradients_[most_threads] = {};
  LayerStack<T>* stacks_[most_threads] = {};
  double part_loss_[most_threads] = {}, part_squares_[most_threads] = {};
  bool bad_[most_threads] = {};
};

}  // namespace
