// A network of any kind that reads and predicts but is not trained (spec/mathematics.md: Sampling;
// Evaluation).
#pragma once

#include "stack.hpp"

namespace {

// Packed weights and a stack of layers. Between two calls the state is that before step 0.
template <typename T>
class Reader {
 public:
  Reader(const PanelLayout<T>& layout, const charloom::Model<T>& model, int T_steps,
         Streams streams)
      : stack(layout, model, T_steps, streams, Purpose{}),
        layout_(layout),
        memory_(static_cast<std::size_t>(layout.end)) {
    if (!ok()) return;
    block_ = memory_.take(layout.end);
    layout.pack(model.arrays, block_);
    stack.set_pair_inputs(model.pair_inputs());
  }

  bool ok() const { return memory_.ok() && stack.ok(); }

  // Compute the logits after each of `steps` steps of stack.x.
  void run(int steps) { stack.forward(block_, steps, Dropout<T>{}); }

  // Begin a step whose layers run one by one. Only one thread may do this.
  void begin_step() {
    stack.look_up_pairs(1);
    stack.begin_items();
  }
  // Run one step of a layer, or compute the logits of one step: the share of one thread.
  void forward_layer(int l, Share share) { stack.forward_layer(block_, l, 1, false, share); }
  void logits(Share share) { stack.logits(block_, 1, false, share); }
  // Mix the n-grams into the logits of one step. Only one thread may do this.
  void mix() {
    if (stack.mixer.on()) stack.mixer.mix(stack.x, 1, stack.o);
  }

  void begin(State<T> state) { stack.set_state({state.h, state.cell, state.recent}); }
  void end(State<T> state) const { stack.get_state(state, 0); }

  LayerStack<T> stack;

 private:
  const PanelLayout<T>& layout_;
  Memory<T> memory_;
  T* block_ = nullptr;
};

}  // namespace
