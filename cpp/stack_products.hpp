// The products and sums of a stack over many steps: inputs and logits forward, gradients backward.
//
// They are over all steps of a window, or over a stretch of them. The steps of one layer are in stack_steps.hpp.
#pragma once

#include "stack.hpp"

namespace {

template <typename T>
inline void LayerStack<T>::logits(const T* block, int steps, bool dropped, Share share) {
  const T* c = block + layout_.c;
  const int last = layout_.logits.vectors - 1, outputs = layout_.shape.outputs();
  panel_product<T>(
      steps * B, layout_.logits, layout_.shape.H,
      output_factors(layout_.shape.layers - 1, dropped), block + layout_.V, layout_.Hp,
      [&](int, int v) CHARLOOM_LAMBDA { return load<T>(c + v * lanes); },
      [&](int n, int v, Vec<T> sum) CHARLOOM_LAMBDA {
        T* row = o + n * layout_.Kp;
        store<T>(row + v * lanes, sum);
        if (v == last)
          for (std::ptrdiff_t k = outputs; k < layout_.Kp; ++k) row[k] = padding_logit<T>;
      },
      share);
}

// Compute gates = U y + b for all steps of a layer that reads another layer. A block of rows of y
// stays in the second-level cache while every panel of U is applied to it.
template <typename T>
inline void LayerStack<T>::input_sums(const T* block, int l, int steps, bool dropped, Share share) {
  const Factors<T> A = output_factors(l - 1, dropped);
  const int vectors = layout_.vectors;
  each_block(steps * B, input_rows, [&](int first, int some) {
    for (int p = share.first(layout_.panels); p < share.end(layout_.panels); ++p) {
      const T* U = block + layout_.at[l].U + p * layout_.Hp * layout_.row;
      const T* b = block + layout_.at[l].b + p * layout_.row;
      T* gates = layer_[l].gates + (p * rows_ + first) * layout_.row;
      each_block(some, rows_for(vectors), [&](int r0, int count) {
        T* sums = gates + r0 * layout_.row;
        for (int r = 0; r < count; ++r)
          std::memcpy(sums + r * layout_.row, b, static_cast<std::size_t>(layout_.row) * sizeof(T));
        tile_for<T>(count, vectors)(A.from_row(first + r0), U, layout_.row, layout_.shape.H,
                                    reinterpret_cast<Vec<T>*>(sums));
      });
    }
  });
}

// Compute gates = U x + b + the input of the pair for all steps of layer 0 of a network with pairs.
template <typename T>
inline void LayerStack<T>::character_sums(const T* block, int steps, Share share) {
  const std::ptrdiff_t rows = std::ptrdiff_t(steps) * B, G_H = layout_.shape.gate_rows();
  for (std::ptrdiff_t n = 0; n < rows; ++n) {
    // The inputs of pairs do not fit into the nearest caches.
    if (n + 1 < rows && pairs_.row(n + 1) >= 0)
      layout_.prefetch_row(pair_inputs_ + pairs_.row(n + 1) * G_H);
    const T* pair = pairs_.row(n) < 0 ? nullptr : pair_inputs_ + pairs_.row(n) * G_H;
    for (int p = share.first(layout_.panels); p < share.end(layout_.panels); ++p)
      character_sum(block, n, p, pair);
  }
}

// Do this for panel p in row n. `pair` is the input of the pair; null if it has none.
template <typename T>
CHARLOOM_INLINE void LayerStack<T>::character_sum(const T* block, std::ptrdiff_t n, int p,
                                                  const T* pair) {
  const std::ptrdiff_t column = std::ptrdiff_t(p) * layout_.shape.K + x[n];
  const T* U = block + layout_.at[0].U + column * layout_.row;
  const T* b = block + layout_.at[0].b + p * layout_.row;
  T* sums = layer_[0].gates + (p * rows_ + n) * layout_.row;
  for (int v = 0; v < layout_.vectors; ++v) {
    Vec<T> sum = load<T>(U + v * lanes) + load<T>(b + v * lanes);
    if (pair != nullptr) sum += layout_.from_row(pair, p, v);
    store<T>(sums + v * lanes, sum);
  }
}

// Compute dV, dc and the gradient of the outputs of the top layer.
template <typename T>
inline void LayerStack<T>::output_gradients(const T* back, int top, std::ptrdiff_t rows,
                                            bool dropped, T* gradient) {
  for (std::ptrdiff_t n0 = 0; n0 < rows; n0 += sum_rows) {
    const int some = static_cast<int>(rows - n0 < sum_rows ? rows - n0 : sum_rows);
    for (int p = 0; p < layout_.logits.panels; ++p) {
      const std::ptrdiff_t first = layout_.logits.first(p) * lanes;
      gradient_panel<T>(layout_.shape.H, layout_.logits.width(p), some,
                        output(top, dropped) + n0 * lanes, rows_, o + n0 * layout_.Kp + first,
                        layout_.Kp, n0 > 0, gradient + layout_.V + first * layout_.Hp);
    }
  }
  column_sums(o, layout_.Kp, rows, layout_.logits.vectors, false, gradient + layout_.c);
  const int outputs = layout_.shape.outputs();
  panel_product<T>(static_cast<int>(rows), layout_.units, outputs,
                   Factors<T>{o, layout_.Kp, 1, 0, outputs}, back + layout_.V_back,
                   layout_.Kp, [](int, int) CHARLOOM_LAMBDA { return Vec<T>{}; },
                   store_into_dh(top, dropped));
}

// Add the gradients of one stretch to dW and, for the GRU, to dd.
template <typename T>
inline void LayerStack<T>::recurrent_gradients(int l, const Stretch& rows, T* gradient) {
  const LayerBuffers<T>& at = layer_[l];
  gate_gradients(l, rows, at.h, gradient + layout_.at[l].W);
  if (layout_.shape.cell != Cell::gru) return;
  for (int p = 0; p < layout_.panels; ++p)
    column_sums(at.gates + (p * rows_ + rows.first) * layout_.row + 2 * lanes, layout_.row, rows.count,
                1, rows.more, gradient + layout_.at[l].d + p * lanes);
}

// Swap the two gradients of the GRU candidate in some rows. The recurrent matrix needs one of
// them, the inputs the other.
template <typename T>
inline void LayerStack<T>::swap_candidates(int l, std::ptrdiff_t first, int count) {
  for (int p = 0; p < layout_.panels; ++p)
    for (std::ptrdiff_t n = first; n < first + count; ++n)
      CellStep<Cell::gru, T>::swap_candidates(vectors_of<Cell::gru>(l, p, n));
}

// Add the gradients of one stretch to db and dU. Above layer 0, also compute the gradient of the
// output of the layer below.
template <typename T>
inline void LayerStack<T>::input_gradients(const T* back, int l, const Stretch& rows, bool dropped,
                                           T* gradient) {
  for (int p = 0; p < layout_.panels; ++p)
    column_sums(layer_[l].gates + (p * rows_ + rows.first) * layout_.row, layout_.row, rows.count,
                layout_.vectors, rows.more, gradient + layout_.at[l].b + p * layout_.row);
  if (l == 0) {
    column_gradients(rows, gradient);
    if (pairs_.on()) add_pair_gradients(rows);
    return;
  }
  gate_gradients(l, rows, output(l - 1, dropped), gradient + layout_.at[l].U);
  panel_product<T>(rows.count, layout_.units, static_cast<int>(layout_.depth),
                   Factors<T>{layer_[l].gates + rows.first * layout_.row, layout_.row, 1,
                              rows_ * layout_.row, static_cast<int>(layout_.row)},
                   back + layout_.at[l].U_back, layout_.depth,
                   [](int, int) CHARLOOM_LAMBDA { return Vec<T>{}; },
                   store_into_dh(l - 1, dropped, rows.first));
}

// Add the gradient of one stretch to a matrix of gates × units that multiplied `multiplied`.
template <typename T>
inline void LayerStack<T>::gate_gradients(int l, const Stretch& rows, const T* multiplied,
                                          T* gradient) {
  for (int i = 0; i < rows.count; i += sum_rows) {
    const int some = rows.count - i < sum_rows ? rows.count - i : sum_rows;
    const std::ptrdiff_t n0 = rows.first + i;
    for (int p = 0; p < layout_.panels; ++p)
      gradient_panel<T>(layout_.shape.H, layout_.vectors, some, multiplied + n0 * lanes, rows_,
                        layer_[l].gates + (p * rows_ + n0) * layout_.row, layout_.row,
                        rows.more || i > 0, gradient + p * layout_.Hp * layout_.row);
  }
}

// Add one stretch to dU of layer 0: each row is added to the column of its character. The
// stretches after the first are summed separately, so that a long sum loses no digits.
template <typename T>
inline void LayerStack<T>::column_gradients(const Stretch& rows, T* gradient) {
  const std::ptrdiff_t all = column_elements(layout_);
  for (int p = 0; p < layout_.panels; ++p) {
    T* dU = gradient + layout_.at[0].U + std::ptrdiff_t(p) * layout_.shape.K * layout_.row;
    const T* gates = layer_[0].gates + p * rows_ * layout_.row;
    const bool apart = rows.more && columns_ != nullptr;
    T* sums = apart ? columns_ : dU;
    if (apart || !rows.more) std::memset(sums, 0, std::size_t(all) * sizeof(T));
    for (std::ptrdiff_t n = rows.first; n < rows.first + rows.count; ++n) {
      T* to = sums + x[n] * layout_.row;
      const T* from = gates + n * layout_.row;
      for (int v = 0; v < layout_.vectors; ++v)
        store<T>(to + v * lanes, load<T>(to + v * lanes) + load<T>(from + v * lanes));
    }
    for (std::ptrdiff_t i = 0; apart && i < all; i += lanes)
      store<T>(dU + i, load<T>(dU + i) + load<T>(sums + i));
  }
}

// Add one stretch to the gradients of the inputs of the pairs that it reads.
template <typename T>
inline void LayerStack<T>::add_pair_gradients(const Stretch& rows) {
  for (std::ptrdiff_t n = rows.first; n < rows.first + rows.count; ++n) {
    if (pairs_.row(n) < 0) continue;
    T* sums = pair_gradients.of(pairs_.row(n));
    for (int p = 0; p < layout_.panels; ++p) {
      T* to = sums + p * layout_.row;
      const T* from = layer_[0].gates + (p * rows_ + n) * layout_.row;
      for (int v = 0; v < layout_.vectors; ++v)
        store<T>(to + v * lanes, load<T>(to + v * lanes) + load<T>(from + v * lanes));
    }
  }
}

// Store the sums of columns, or add them to the sums that are there if `more`. Rows are summed in
// blocks of 256, so that a long sum loses no digits.
template <typename T>
inline void LayerStack<T>::column_sums(const T* from, std::ptrdiff_t row, std::ptrdiff_t rows,
                                       int vectors, bool more, T* to) {
  constexpr std::ptrdiff_t some = 256;
  for (int v = 0; v < vectors; ++v) {
    Vec<T> total = more ? load<T>(to + v * lanes) : Vec<T>{};
    for (std::ptrdiff_t n0 = 0; n0 < rows; n0 += some) {
      Vec<T> part{};
      const std::ptrdiff_t end = n0 + some < rows ? n0 + some : rows;
      for (std::ptrdiff_t n = n0; n < end; ++n) part += load<T>(from + n * row + v * lanes);
      total += part;
    }
    store<T>(to + v * lanes, total);
  }
}

}  // namespace
