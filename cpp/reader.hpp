// A network of any kind that reads and predicts, learning nothing (spec/mathematics.md: Sampling; Evaluation).
#pragma once

#include "stack.hpp"

namespace {

// Packed weights and one slice; between calls the state lies before step 0.
template <typename T>
class Reader {
 public:
  Reader(const PanelLayout<T>& layout, Arrays<T> weights, int T_steps, Streams streams)
      : slice(layout, T_steps, streams, Purpose{}),
        layout_(layout),
        memory_(static_cast<std::size_t>(layout.end)) {
    if (!ok()) return;
    block_ = memory_.take(layout.end);
    layout.pack(weights, block_);
  }

  bool ok() const { return memory_.ok() && slice.ok(); }

  // Predicts after each of `steps` steps of slice.x.
  void run(int steps) { slice.forward(block_, steps, Dropout<T>{}); }

  // A share of one step of a layer, and of the logits.
  void layer(int l, Share share) { slice.layer(block_, l, 1, false, share); }
  void logits(Share share) { slice.logits(block_, 1, false, share); }

  void begin(State<T> state) { slice.set_state({state.h, state.cell}); }
  void end(State<T> state) const { slice.get_state(state, 0); }

  Slice<T> slice;

 private:
  const PanelLayout<T>& layout_;
  Memory<T> memory_;
  T* block_ = nullptr;
};

}  // namespace
