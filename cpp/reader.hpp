// A network of any kind that reads and predicts, learning nothing (SPEC: Sampling; Evaluation).
#pragma once

#include "stack.hpp"

namespace {

// Packed weights and one slice; between calls the state lies before step 0.
template <typename T>
class Reader {
 public:
  Reader(const PanelLayout<T>& layout, Arrays<T> weights, int T_steps, int streams, int first = 0)
      : slice(layout, T_steps, streams, first, false, false),
        layout_(layout),
        memory_(static_cast<std::size_t>(layout.end)) {
    if (!ok()) return;
    block_ = memory_.take(layout.end);
    layout.pack(weights, block_);
  }

  bool ok() const { return memory_.ok() && slice.ok(); }

  // Predicts after each of `steps` steps of slice.x.
  void run(int steps) { slice.forward(block_, steps, Dropout<T>{}); }

  // As a Writer, of one stream.
  void begin(State<T> state) { slice.set_state({state.h, state.cell}, 1); }
  void end(State<T> state) const { slice.get_state(state, 1, 0); }
  void read(int id) {
    slice.x[0] = id;
    run(1);
    slice.carry(1);
  }
  T* logits() const { return slice.o; }
  int vectors() const { return layout_.logits.vectors; }

  Slice<T> slice;

 private:
  const PanelLayout<T>& layout_;
  Memory<T> memory_;
  T* block_ = nullptr;
};

}  // namespace
