// The steps of one layer of a stack: the sums of the recurrent matrix and the step of each cell, forward
// and backward side by side (spec/mathematics.md: The cells).
//
// The products over all steps are in stack_products.hpp.
#pragma once

#include "stack.hpp"

namespace {

template <typename T>
template <Cell cell>
inline void LayerStack<T>::recurrence(const T* block, int l, int steps, Share share) {
  const int first = share.first(layout_.panels), end = share.end(layout_.panels);
  for (int t = 0; t < steps; ++t) {
    const bool resets = resets_.any(t);
    if (resets) resets_.put_aside(t, t + 1, layer_[l].h, layer_[l].cell, rows_);
    if (layout_.one_stream)
      step_of_one_stream<cell>(block, l, t, first, end);
    else
      step_of_streams<cell>(block, l, t, first, end);
    if (resets) resets_.put_back(t, t + 1, layer_[l].h, layer_[l].cell, rows_);
  }
}

// Do step t of the panels from `first` to before `end`, for all streams. Alternate the direction: a
// step then begins with the panel that the previous step left in the cache.
template <typename T>
template <Cell cell>
inline void LayerStack<T>::step_of_streams(const T* block, int l, int t, int first, int end) {
  const int vectors = panel_vectors<cell>();
  for (int i = first; i < end; ++i) {
    const int p = t & 1 ? first + end - 1 - i : i;
    const PanelInputs inputs = panel_inputs(block, l, p);
    const T* W = recurrent(block, l, p);
    each_block(B, rows_for(vectors), [&](int r0, int count) {
      const std::ptrdiff_t n0 = std::ptrdiff_t(t) * B + r0;
      Vec<T> sums[most_rows * most_vectors], from_input[most_rows];
      for (int r = 0; r < count; ++r)
        from_input[r] = begin_step<cell>(inputs, l, p, n0 + r, vectors, sums + r * vectors);
      tile_for<T>(count, vectors, streams_.all == 1)(state_factors(l, n0), W, layout_.row,
                                                     layout_.shape.H, sums);
      for (int r = 0; r < count; ++r)
        end_step<cell>(l, p, n0 + r, vectors, sums + r * vectors, from_input[r]);
    });
  }
}

// Do the same for a single stream, several panels at a time.
template <typename T>
template <Cell cell>
inline void LayerStack<T>::step_of_one_stream(const T* block, int l, int t, int first, int end) {
  const int vectors = panel_vectors<cell>(), panels = end - first, most = joined_vectors / vectors;
  const int parts = (panels + most - 1) / most;
  for (int i = 0; i < parts; ++i) {
    const int part = t & 1 ? parts - 1 - i : i;
    const int p0 = first + even_start(panels, parts, part);
    const int count = first + even_start(panels, parts, part + 1) - p0;
    Vec<T> sums[joined_vectors], from_input[joined_vectors];
    for (int p = 0; p < count; ++p)
      from_input[p] = begin_step<cell>(panel_inputs(block, l, p0 + p), l, p0 + p, t, vectors,
                                       sums + p * vectors);
    joined_for<T>(count, vectors)(state_factors(l, t), recurrent(block, l, p0),
                                  layout_.Hp * layout_.row, layout_.row, layout_.shape.H, sums);
    for (int p = 0; p < count; ++p)
      end_step<cell>(l, p0 + p, t, vectors, sums + p * vectors, from_input[p]);
  }
}

// Set the sums of panel p in row n to what the input and the biases contribute. For the GRU, return
// the part of the candidate on which the reset gate does not act.
template <typename T>
template <Cell cell>
CHARLOOM_INLINE Vec<T> LayerStack<T>::begin_step(const PanelInputs& inputs, int l, int p,
                                                 std::ptrdiff_t n, int vectors,
                                                 Vec<T>* sums) const {
  if (inputs.U != nullptr) {
    const T* U = inputs.U + x[n] * layout_.row;
    for (int v = 0; v < vectors; ++v) sums[v] = load<T>(U + v * lanes) + load<T>(inputs.b + v * lanes);
  } else {
    const T* gates = layer_[l].gates + (p * rows_ + n) * layout_.row;
    for (int v = 0; v < vectors; ++v) sums[v] = load<T>(gates + v * lanes);
  }
  Vec<T> from_input{};
  if constexpr (cell == Cell::gru) {
    from_input = sums[2];
    sums[2] = load<T>(inputs.d);
  }
  return from_input;
}

// Turn the sums of panel p in row n into the gates and the next state. A panel holds one group of
// units, except for the plain cell.
template <typename T>
template <Cell cell>
CHARLOOM_INLINE void LayerStack<T>::end_step(int l, int p, std::ptrdiff_t n, int vectors,
                                             const Vec<T>* sums, Vec<T> from_input) {
  const int groups = cell == Cell::rnn ? vectors : 1;
  for (int v = 0; v < groups; ++v)
    CellStep<cell, T>::forward(vectors_of<cell>(l, p * groups + v, n), sums + v, from_input);
}

// Go back through one layer from step end - 1 to step `start`. The gates become the gradients of
// their sums.
template <typename T>
template <Cell cell>
inline void LayerStack<T>::backward_through_time(const T* back, int l, int start, int end,
                                                 int steps) {
  for (int t = end - 1; t >= start; --t) {
    const bool resets = resets_.any(t);
    if (resets) resets_.put_aside(t, t + 1, layer_[l].h, layer_[l].cell, rows_);
    if (layout_.one_stream)
      step_back_of_one_stream<cell>(back, l, t, t + 1 == steps);
    else
      step_back_of_streams<cell>(back, l, t, t + 1 == steps);
    if (!resets) continue;
    resets_.put_back(t, t + 1, layer_[l].h, layer_[l].cell, rows_);
    forget_carry(l, t);
  }
}

// Set the gradient that step t carries to the step before it to zero where a stream begins an item at step t.
template <typename T>
inline void LayerStack<T>::forget_carry(int l, int t) {
  resets_.each(t, t + 1, [&](std::ptrdiff_t n) {
    for (int group = 0; group < layout_.groups; ++group)
      store<T>(layer_[l].carry + carried(group, n - std::ptrdiff_t(t) * B), Vec<T>{});
  });
}

// Go back through step t for all streams. The last step of a window has no recurrent gradient.
template <typename T>
template <Cell cell>
inline void LayerStack<T>::step_back_of_streams(const T* back, int l, int t, bool last) {
  const Columns& units = layout_.recurrent_units;
  const bool resets = !last && resets_.any(t + 1);
  for (int p = 0; p < units.panels; ++p) {
    const int first = units.first(p), width = units.width(p);
    const T* W = back + layout_.at[l].W_back + first * lanes * layout_.depth;
    each_block(B, rows_for(width), [&](int r0, int count) {
      const std::ptrdiff_t n0 = std::ptrdiff_t(t) * B + r0;
      Vec<T> sums[most_rows * most_vectors];
      for (int r = 0; r < count; ++r)
        for (int v = 0; v < width; ++v)
          sums[r * width + v] = begin_step_back<cell>(l, first + v, n0 + r, r0 + r);
      if (!last)
        tile_for<T>(count, width, streams_.all == 1)(
            Factors<T>{layer_[l].gates + (n0 + B) * layout_.row, layout_.row, 1,
                       rows_ * layout_.row, static_cast<int>(layout_.row)},
            W, width * lanes, static_cast<int>(layout_.depth), sums);
      // No gradient passes back from the beginning of an item.
      for (int r = 0; resets && r < count; ++r)
        for (int v = 0; x[n0 + B + r] == resets_.boundary() && v < width; ++v)
          sums[r * width + v] = begin_step_back<cell>(l, first + v, n0 + r, r0 + r);
      for (int r = 0; r < count; ++r)
        for (int v = 0; v < width; ++v)
          CellStep<cell, T>::backward(vectors_of<cell>(l, first + v, n0 + r),
                                      layer_[l].carry + carried(first + v, r0 + r),
                                      sums[r * width + v]);
    });
  }
}

// Do the same for a single stream, with wide panels.
template <typename T>
template <Cell cell>
inline void LayerStack<T>::step_back_of_one_stream(const T* back, int l, int t, bool last) {
  const Columns& units = layout_.recurrent_units;
  const Factors<T> next{layer_[l].gates + (t + 1) * layout_.row, 0, 1, rows_ * layout_.row,
                        static_cast<int>(layout_.row)};
  for (int p = 0; p < units.panels; ++p) {
    const int first = units.first(p), width = units.width(p);
    Vec<T> sums[wide_vectors];
    for (int v = 0; v < width; ++v) sums[v] = begin_step_back<cell>(l, first + v, t, 0);
    if (!last && !resets_.any(t + 1))
      wide_for<T>(width)(next, back + layout_.at[l].W_back + first * lanes * layout_.depth, 0,
                         width * lanes, static_cast<int>(layout_.depth), sums);
    for (int v = 0; v < width; ++v)
      CellStep<cell, T>::backward(vectors_of<cell>(l, first + v, t),
                                  layer_[l].carry + carried(first + v, 0), sums[v]);
  }
}

// Return the gradient of h of a group of units in row n, which is of stream s, without the part that
// comes through the recurrent matrix.
template <typename T>
template <Cell cell>
CHARLOOM_INLINE Vec<T> LayerStack<T>::begin_step_back(int l, int group, std::ptrdiff_t n,
                                                      int s) const {
  Vec<T> dh = load<T>(layer_[l].dh + place(group, n));
  if constexpr (cell == Cell::gru) dh += load<T>(layer_[l].carry + carried(group, s));
  return dh;
}

// Return the vectors of row n of a group of units in the buffers of layer l.
template <typename T>
template <Cell cell>
CHARLOOM_INLINE StepVectors<T> LayerStack<T>::vectors_of(int l, int group, std::ptrdiff_t n) const {
  const LayerBuffers<T>& at = layer_[l];
  const int per_panel = cell == Cell::rnn ? layout_.per_panel : 1;
  const std::ptrdiff_t before = place(group, n), after = place(group, n + B);
  StepVectors<T> found{};
  found.gates = at.gates + (group / per_panel * rows_ + n) * layout_.row + group % per_panel * lanes;
  found.h_prev = at.h + before;
  found.h = at.h + after;
  if constexpr (has_cell_state(cell)) {
    found.cell_prev = at.cell + before;
    found.cell = at.cell + after;
  }
  if constexpr (has_inner(cell)) found.inner = at.inner + before;
  return found;
}

}  // namespace
