// The stack of layers of a network, working on some of the streams: forward and backward over one
// window (spec/mathematics.md: The cells; The network; Dropout).
//
// Only the recurrence runs step by step. It handles all streams of a step together, so that each
// weight panel is read from the nearest cache once for all of them. Inputs of upper layers, logits
// and the gradients of weights are products over all steps and streams. A stack has some of the
// streams for itself, so that threads wait for each other once per update and not once per step.
// Measure it with: charloom bench --list.
#pragma once

#include <cstring>

#include "layer_buffers.hpp"
#include "ngrams.hpp"
#include "pairs.hpp"
#include "philox.hpp"
#include "softmax.hpp"

namespace {

using charloom::Model;
using charloom::State;

// Which streams belong to this stack, and how many there are in total.
struct Streams {
  int first, count, all;
};
// Return part p of B streams that are divided into `parts` parts.
inline Streams streams_of(int B, int parts, int p) {
  const int first = even_start(B, parts, p);
  return {first, even_start(B, parts, p + 1) - first, B};
}

// Number of rows of a lower layer that the layer above reads in one block.
constexpr int input_rows = 256;

template <typename T>
class LayerStack {
 public:
  static constexpr int lanes = Simd<T>::lanes;

  // Take memory for windows of up to T_steps steps of some streams.
  LayerStack(const PanelLayout<T>& layout, const Model<T>& model, int T_steps, Streams streams,
             Purpose purpose)
      : B(streams.count),
        mixer(model.ngrams, layout.shape, layout.Kp, T_steps, B),
        pair_gradients(purpose.learns ? layout.shape.pairs : 0,
                       purpose.learns ? most_pairs(layout, T_steps, B) : 0, layout.depth),
        layout_(layout),
        pair_inputs_(layout.shape.pairs ? model.pair_inputs() : nullptr),
        pairs_(model.pairs, T_steps, B),
        streams_(streams),
        rows_(panel_rows(T_steps, B)),
        memory_(elements(layout, T_steps, B, purpose)) {
    if (ok()) take_buffers(purpose);
  }
  // Take memory for training, from number `slot` of a workspace.
  LayerStack(const PanelLayout<T>& layout, const Model<T>& model, int T_steps, Streams streams,
             bool drops, const charloom::Workspace& workspace, int slot)
      : B(streams.count),
        mixer(model.ngrams, layout.shape, layout.Kp, T_steps, B),
        pair_gradients(layout.shape.pairs, most_pairs(layout, T_steps, B), layout.depth),
        layout_(layout),
        pair_inputs_(layout.shape.pairs ? model.pair_inputs() : nullptr),
        pairs_(model.pairs, T_steps, B),
        streams_(streams),
        rows_(panel_rows(T_steps, B)),
        memory_(workspace, slot, elements(layout, T_steps, B, {true, drops})) {
    if (ok()) take_buffers({true, drops});
  }

  bool ok() const {
    return memory_.ok() && mixer.ok() && pairs_.ok() && pair_gradients.ok();
  }

  // Read the states of its streams from (L, all streams, H) arrays; get_state writes the states
  // after step t.
  CHARLOOM_NOINLINE void set_state(State<const T> from) {
    if (mixer.on()) mixer.set_recent(from.recent, streams_.first);
    if (pairs_.on()) pairs_.set_recent(from.recent, streams_.first, layout_.shape.recent());
    for (int l = 0; l < layout_.shape.layers; ++l)
      for (int group = 0; group < layout_.groups; ++group) {
        const std::size_t bytes = std::size_t(B) * lanes * sizeof(T);
        std::memset(layer_[l].h + place(group, 0), 0, bytes);
        if (layer_[l].cell) std::memset(layer_[l].cell + place(group, 0), 0, bytes);
      }
    each_state([&](int which, T* here, std::ptrdiff_t there) {
      *here = (which ? from.cell : from.h)[there];
    }, 0);
  }
  CHARLOOM_NOINLINE void get_state(State<T> to, int t) const {
    if (mixer.on())
      mixer.get_recent(to.recent, streams_.first, t);
    else if (pairs_.on())
      pairs_.get_recent(to.recent, streams_.first, x, t);
    const_cast<LayerStack*>(this)->each_state([&](int which, T* here, std::ptrdiff_t there) {
      (which ? to.cell : to.h)[there] = *here;
    }, t);
  }
  // Copy the state after step t to the place of the state before step 0.
  void move_state_to_start(int t) {
    if (mixer.on()) mixer.move_to_start(t);
    if (pairs_.on()) pairs_.move_to_start(x, t);
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(B) * lanes;
    for (int l = 0; l < layout_.shape.layers; ++l)
      for (int group = 0; group < layout_.groups; ++group) {
        T* h = layer_[l].h + group * rows_ * lanes;
        std::memcpy(h, h + t * size, size * sizeof(T));
        if (!layer_[l].cell) continue;
        T* cell = layer_[l].cell + group * rows_ * lanes;
        std::memcpy(cell, cell + t * size, size * sizeof(T));
      }
  }

  // Run all layers and compute the logits o. Row t·B + s of x has the id of step t and stream s.
  CHARLOOM_NOINLINE void forward(const T* block, int steps, const Dropout<T>& dropout) {
    look_up_pairs(steps);
    for (int l = 0; l < layout_.shape.layers; ++l) {
      forward_layer(block, l, steps, dropout.any());
      if (dropout.any()) apply_dropout(l, steps, dropout);
    }
    logits(block, steps, dropout.any());
    if (mixer.on()) mixer.mix(x, steps, o);
  }

  // Find the rows of the pairs of characters in x. Without pairs, do nothing.
  void look_up_pairs(int steps) {
    if (pairs_.on()) pairs_.look_up(x, steps);
  }

  // Run one layer on the output of the layer below. In a window of one step, several threads can
  // run one layer: each runs the panels of its share.
  void forward_layer(const T* block, int l, int steps, bool dropped, Share share = {}) {
    if (l > 0)
      input_sums(block, l, steps, dropped, share);
    else if (pairs_.on())
      character_sums(block, steps, share);
    switch (layout_.shape.cell) {
      case Cell::rnn: return recurrence<Cell::rnn>(block, l, steps, share);
      case Cell::lstm: return recurrence<Cell::lstm>(block, l, steps, share);
      case Cell::gru: return recurrence<Cell::gru>(block, l, steps, share);
    }
  }

  void logits(const T* block, int steps, bool dropped, Share share = {}) {
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

  // Return the loss of y in row n, in nats. The row becomes exp(o - max o), and `normalizer` its
  // sum.
  double row_loss(std::ptrdiff_t n, T& normalizer) {
    T* row = o + n * layout_.Kp;
    const T target = row[y[n]];
    T most;
    normalizer = exponentials<T>(row, layout_.logits.vectors, most);
    return __builtin_log(static_cast<double>(normalizer)) - (double(target) - double(most));
  }

  // Return the loss of all rows in nats. The logits o become their gradient, (softmax - onehot) ·
  // scale.
  CHARLOOM_NOINLINE double loss(int steps, T scale) {
    double total = 0;
    for (std::ptrdiff_t n = 0; n < std::ptrdiff_t(steps) * B; ++n) {
      T normalizer;
      total += row_loss(n, normalizer);
      T* row = o + n * layout_.Kp;
      const T factor = scale / normalizer;
      for (int v = 0; v < layout_.logits.vectors; ++v)
        store<T>(row + v * lanes, load<T>(row + v * lanes) * factor);
      row[y[n]] -= scale;
      if (mixer.on()) mixer.weight_gradient(n, row);
    }
    return total;
  }

  // Write the gradient of every parameter to the block `gradient`, except for that of the inputs of
  // pairs, which is in `pair_gradients` then. The gates are overwritten. Each
  // layer is processed in stretches of steps: the gradients of a stretch are summed while its gates
  // are still in the cache.
  CHARLOOM_NOINLINE void backward(const T* back, int steps, bool dropped, T* gradient) {
    const int top = layout_.shape.layers - 1, steps_at_once = B < sum_rows ? sum_rows / B : 1;
    output_gradients(back, top, std::ptrdiff_t(steps) * B, dropped, gradient);
    pair_gradients.clear();
    for (int l = top; l >= 0; --l) {
      std::memset(layer_[l].carry, 0, std::size_t(B) * layout_.Hp * sizeof(T));
      for (int end = steps; end > 0; end -= steps_at_once) {
        const int start = end > steps_at_once ? end - steps_at_once : 0;
        switch (layout_.shape.cell) {
          case Cell::rnn: backward_through_time<Cell::rnn>(back, l, start, end, steps); break;
          case Cell::lstm: backward_through_time<Cell::lstm>(back, l, start, end, steps); break;
          case Cell::gru: backward_through_time<Cell::gru>(back, l, start, end, steps); break;
        }
        const Stretch stretch{std::ptrdiff_t(start) * B, (end - start) * B, end < steps};
        recurrent_gradients(l, stretch, gradient);
        if (layout_.shape.cell == Cell::gru) swap_candidates(l, stretch.first, stretch.count);
        input_gradients(back, l, stretch, dropped, gradient);
        if (layout_.shape.cell == Cell::gru) swap_candidates(l, stretch.first, B);
      }
    }
  }

  // Return h (`which` 0) or the cell state (1) of one unit of layer l in row `row`.
  T state_at(int l, int which, std::ptrdiff_t row, int unit) const {
    const T* from = which ? layer_[l].cell : layer_[l].h;
    return from[(unit / lanes * rows_ + row) * lanes + unit % lanes];
  }

  const int B;
  NGramMixer<T> mixer;
  RowGradients<T> pair_gradients;
  T* o = nullptr;                           // (T·B, Kp)
  std::int32_t *x = nullptr, *y = nullptr;  // (T·B)

 private:
  // Some rows of a window. `more` says that the gradients already have sums of other rows.
  struct Stretch {
    std::ptrdiff_t first;
    int count;
    bool more;
  };

  // Compute dV, dc and the gradient of the outputs of the top layer.
  void output_gradients(const T* back, int top, std::ptrdiff_t rows, bool dropped, T* gradient) {
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

  // Give every buffer its place in the memory.
  void take_buffers(Purpose purpose) {
    for (int l = 0; l < layout_.shape.layers; ++l)
      layer_[l] = LayerBuffers<T>::take(memory_, layout_, rows_, B, purpose);
    if (purpose.learns && sums_apart(layout_)) columns_ = memory_.take(column_elements(layout_));
    o = memory_.take(rows_ * layout_.Kp);
    x = reinterpret_cast<std::int32_t*>(memory_.take(rows_ + lanes));
    y = reinterpret_cast<std::int32_t*>(memory_.take(rows_ + lanes));
  }

  template <typename F>
  void each_state(F f, int t) {
    const int H = layout_.shape.H;
    for (int l = 0; l < layout_.shape.layers; ++l)
      for (int which = 0; which < layout_.shape.states(); ++which) {
        T* base = which ? layer_[l].cell : layer_[l].h;
        for (int s = 0; s < B; ++s)
          for (int i = 0; i < H; ++i)
            f(which, base + (i / lanes * rows_ + std::ptrdiff_t(t) * B + s) * lanes + i % lanes,
              (std::ptrdiff_t(l) * streams_.all + streams_.first + s) * H + i);
      }
  }

  // Return the output of layer l, which the layer above reads: as a buffer, or as the factors of a
  // product.
  const T* output(int l, bool dropped) const {
    return dropped ? layer_[l].out : layer_[l].h + std::ptrdiff_t(B) * lanes;
  }
  Factors<T> output_factors(int l, bool dropped) const {
    return {output(l, dropped), lanes, 1, rows_ * lanes, lanes};
  }

  // Compute gates = U y + b for all steps of a layer that reads another layer. A block of rows of y
  // stays in the second-level cache while every panel of U is applied to it.
  void input_sums(const T* block, int l, int steps, bool dropped, Share share) {
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
  void character_sums(const T* block, int steps, Share share) {
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
  CHARLOOM_INLINE void character_sum(const T* block, std::ptrdiff_t n, int p, const T* pair) {
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

  template <Cell cell>
  void recurrence(const T* block, int l, int steps, Share share) {
    const int first = share.first(layout_.panels), end = share.end(layout_.panels);
    for (int t = 0; t < steps; ++t)
      if (layout_.one_stream)
        step_of_one_stream<cell>(block, l, t, first, end);
      else
        step_of_streams<cell>(block, l, t, first, end);
  }

  // Do step t of the panels from `first` to before `end`, for all streams. Alternate the direction: a
  // step then begins with the panel that the previous step left in the cache.
  template <Cell cell>
  void step_of_streams(const T* block, int l, int t, int first, int end) {
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
  template <Cell cell>
  void step_of_one_stream(const T* block, int l, int t, int first, int end) {
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

  // Return the factors of the state before row n of layer l, and panel p of its matrix W.
  Factors<T> state_factors(int l, std::ptrdiff_t n) const {
    return {layer_[l].h + n * lanes, lanes, 1, rows_ * lanes, lanes};
  }
  const T* recurrent(const T* block, int l, int p) const {
    return block + layout_.at[l].W + p * layout_.Hp * layout_.row;
  }

  // Return the number of vectors in a panel of gates, which is known beforehand except for the plain cell.
  template <Cell cell>
  CHARLOOM_INLINE int panel_vectors() const {
    return cell == Cell::rnn ? layout_.vectors : gates_of(cell);
  }

  // What panel p of layer l adds to W h: in layer 0 the columns of U and the biases b; for the GRU, d. U
  // is null if the sums of the inputs and biases are in the gates already.
  struct PanelInputs {
    const T *U, *b, *d;
  };
  PanelInputs panel_inputs(const T* block, int l, int p) const {
    const LayerPlaces& at = layout_.at[l];
    const bool summed = l > 0 || pair_inputs_ != nullptr;
    return {summed ? nullptr : block + at.U + std::ptrdiff_t(p) * layout_.shape.K * layout_.row,
            block + at.b + p * layout_.row, block + at.d + p * lanes};
  }

  // Set the sums of panel p in row n to what the input and the biases contribute. For the GRU, return
  // the part of the candidate on which the reset gate does not act.
  template <Cell cell>
  CHARLOOM_INLINE Vec<T> begin_step(const PanelInputs& inputs, int l, int p, std::ptrdiff_t n,
                                    int vectors, Vec<T>* sums) const {
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
  template <Cell cell>
  CHARLOOM_INLINE void end_step(int l, int p, std::ptrdiff_t n, int vectors, const Vec<T>* sums,
                                Vec<T> from_input) {
    const int groups = cell == Cell::rnn ? vectors : 1;
    for (int v = 0; v < groups; ++v)
      CellStep<cell, T>::forward(vectors_of<cell>(l, p * groups + v, n), sums + v, from_input);
  }

  // Go back through one layer from step end - 1 to step `start`. The gates become the gradients of
  // their sums.
  template <Cell cell>
  void backward_through_time(const T* back, int l, int start, int end, int steps) {
    for (int t = end - 1; t >= start; --t)
      if (layout_.one_stream)
        step_back_of_one_stream<cell>(back, l, t, t + 1 == steps);
      else
        step_back_of_streams<cell>(back, l, t, t + 1 == steps);
  }

  // Go back through step t for all streams. The last step of a window has no recurrent gradient.
  template <Cell cell>
  void step_back_of_streams(const T* back, int l, int t, bool last) {
    const Columns& units = layout_.recurrent_units;
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
        for (int r = 0; r < count; ++r)
          for (int v = 0; v < width; ++v)
            CellStep<cell, T>::backward(vectors_of<cell>(l, first + v, n0 + r),
                                        layer_[l].carry + carried(first + v, r0 + r),
                                        sums[r * width + v]);
      });
    }
  }

  // Do the same for a single stream, with wide panels.
  template <Cell cell>
  void step_back_of_one_stream(const T* back, int l, int t, bool last) {
    const Columns& units = layout_.recurrent_units;
    const Factors<T> next{layer_[l].gates + (t + 1) * layout_.row, 0, 1, rows_ * layout_.row,
                          static_cast<int>(layout_.row)};
    for (int p = 0; p < units.panels; ++p) {
      const int first = units.first(p), width = units.width(p);
      Vec<T> sums[wide_vectors];
      for (int v = 0; v < width; ++v) sums[v] = begin_step_back<cell>(l, first + v, t, 0);
      if (!last)
        wide_for<T>(width)(next, back + layout_.at[l].W_back + first * lanes * layout_.depth, 0,
                           width * lanes, static_cast<int>(layout_.depth), sums);
      for (int v = 0; v < width; ++v)
        CellStep<cell, T>::backward(vectors_of<cell>(l, first + v, t),
                                    layer_[l].carry + carried(first + v, 0), sums[v]);
    }
  }

  // Return the gradient of h of a group of units in row n, which is of stream s, without the part that
  // comes through the recurrent matrix.
  template <Cell cell>
  CHARLOOM_INLINE Vec<T> begin_step_back(int l, int group, std::ptrdiff_t n, int s) const {
    Vec<T> dh = load<T>(layer_[l].dh + place(group, n));
    if constexpr (cell == Cell::gru) dh += load<T>(layer_[l].carry + carried(group, s));
    return dh;
  }

  // Add the gradients of one stretch to dW and, for the GRU, to dd.
  void recurrent_gradients(int l, const Stretch& rows, T* gradient) {
    const LayerBuffers<T>& at = layer_[l];
    gate_gradients(l, rows, at.h, gradient + layout_.at[l].W);
    if (layout_.shape.cell != Cell::gru) return;
    for (int p = 0; p < layout_.panels; ++p)
      column_sums(at.gates + (p * rows_ + rows.first) * layout_.row + 2 * lanes, layout_.row, rows.count,
                  1, rows.more, gradient + layout_.at[l].d + p * lanes);
  }

  // Swap the two gradients of the GRU candidate in some rows. The recurrent matrix needs one of
  // them, the inputs the other.
  void swap_candidates(int l, std::ptrdiff_t first, int count) {
    for (int p = 0; p < layout_.panels; ++p)
      for (std::ptrdiff_t n = first; n < first + count; ++n)
        CellStep<Cell::gru, T>::swap_candidates(vectors_of<Cell::gru>(l, p, n));
  }

  // Add the gradients of one stretch to db and dU. Above layer 0, also compute the gradient of the
  // output of the layer below.
  void input_gradients(const T* back, int l, const Stretch& rows, bool dropped, T* gradient) {
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
  void gate_gradients(int l, const Stretch& rows, const T* multiplied, T* gradient) {
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
  void column_gradients(const Stretch& rows, T* gradient) {
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
  void add_pair_gradients(const Stretch& rows) {
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

  // Return the function that stores the results of a product as the gradient of the outputs of
  // layer l, from row `first` on. It applies the dropout mask.
  auto store_into_dh(int l, bool dropped, std::ptrdiff_t first = 0) {
    T* dh = layer_[l].dh;
    const T* mask = dropped ? layer_[l].mask : nullptr;
    return [this, dh, mask, first](int n, int v, Vec<T> sum) CHARLOOM_LAMBDA {
      const std::ptrdiff_t at = place(v, first + n);
      store<T>(dh + at, mask ? sum * load<T>(mask + at) : sum);
    };
  }

  void apply_dropout(int l, int steps, const Dropout<T>& dropout) {
    LayerBuffers<T>& at = layer_[l];
    const int blocks = (layout_.shape.H + 15) / 16, Hp = static_cast<int>(layout_.Hp);
    for (int t = 0; t < steps; ++t)
      for (int s = 0; s < B; ++s) {
        const std::ptrdiff_t n = std::ptrdiff_t(t) * B + s;
        for (int block = 0; block < blocks; ++block) {
          T factors[16];
          dropout.factors(l, streams_.first + s, t, block, factors);
          for (int i = 0; i < 16 && block * 16 + i < Hp; ++i) {
            const int unit = block * 16 + i;
            at.mask[place(unit / lanes, n) + unit % lanes] = factors[i];
          }
        }
        for (int group = 0; group < layout_.groups; ++group)
          store<T>(at.out + place(group, n), load<T>(at.mask + place(group, n)) *
                                                 load<T>(at.h + place(group, n + B)));
      }
  }

  // Store the sums of columns, or add them to the sums that are there if `more`. Rows are summed in
  // blocks of 256, so that a long sum loses no digits.
  static void column_sums(const T* from, std::ptrdiff_t row, std::ptrdiff_t rows, int vectors,
                          bool more, T* to) {
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

  // Return the vectors of row n of a group of units in the buffers of layer l.
  template <Cell cell>
  CHARLOOM_INLINE StepVectors<T> vectors_of(int l, int group, std::ptrdiff_t n) const {
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

  // Return the offset of row n of a group of units in a buffer of one vector, and of stream s in
  // `carry`.
  std::ptrdiff_t place(std::ptrdiff_t group, std::ptrdiff_t n) const {
    return (group * rows_ + n) * lanes;
  }
  std::ptrdiff_t carried(std::ptrdiff_t group, std::ptrdiff_t s) const {
    return (group * B + s) * lanes;
  }

  // Return the number of rows of each panel: T·B, and B for the state before the window. The number
  // of steps is made odd, because with an even number the rows of one step of all panels can fall
  // on the same lines of a cache.
  static std::ptrdiff_t panel_rows(int T_steps, int streams) {
    return static_cast<std::ptrdiff_t>((T_steps + 1) | 1) * streams;
  }

  // column_elements is the size of a panel of dU of layer 0. Stretches are summed separately only
  // if the vocabulary is small: with more characters than rows, most columns of a stretch are 0.
  static std::ptrdiff_t column_elements(const PanelLayout<T>& l) {
    return std::ptrdiff_t(l.shape.K) * l.row;
  }
  static bool sums_apart(const PanelLayout<T>& l) { return l.shape.K <= sum_rows; }

  // Return how many inputs of pairs a window can read at most.
  static std::ptrdiff_t most_pairs(const PanelLayout<T>& l, int T_steps, int streams) {
    const std::ptrdiff_t characters = std::ptrdiff_t(T_steps) * streams;
    return l.shape.pairs < characters ? l.shape.pairs : characters;
  }

  static std::size_t elements(const PanelLayout<T>& l, int T_steps, int streams, Purpose purpose) {
    const std::ptrdiff_t rows = panel_rows(T_steps, streams);
    const std::ptrdiff_t layer = LayerBuffers<T>::elements(l, rows, streams, purpose);
    const std::ptrdiff_t columns = purpose.learns && sums_apart(l) ? column_elements(l) : 0;
    return static_cast<std::size_t>(layer * l.shape.layers + columns + rows * l.Kp +
                                    2 * (rows + lanes));
  }

  const PanelLayout<T>& layout_;
  const T* const pair_inputs_;  // (pairs, G·H), in the layout of the learner; null without pairs
  PairRows pairs_;
  const Streams streams_;
  const std::ptrdiff_t rows_;
  Memory<T> memory_;
  T* columns_ = nullptr;  // a panel of dU of layer 0, if it is summed separately
  LayerBuffers<T> layer_[PanelLayout<T>::most_layers];
};

}  // namespace
