// The stack of layers of a network, working on some of the streams: forward and backward over one
// window (spec/mathematics.md: The cells; The network; Dropout).
//
// Only the recurrence runs step by step. It handles all streams of a step together, so that each
// weight panel is read from the nearest cache once for all of them. Inputs of upper layers, logits
// and the gradients of weights are products over all steps and streams. A stack has some of the
// streams for itself, so that threads wait for each other once per update and not once per step.
// This file has the memory of a stack, its states, its loss and the order of its work. The steps of a
// layer are in stack_steps.hpp, the products over all steps in stack_products.hpp.
// Measure it with: charloom bench --list.
#pragma once

#include <cstring>

#include "item_resets.hpp"
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

  // Take memory for windows of up to T_steps steps of some streams. The pairs have no inputs before set_pair_inputs.
  LayerStack(const PanelLayout<T>& layout, const Model<T>& model, int T_steps, Streams streams,
             Purpose purpose)
      : B(streams.count),
        mixer(model.ngrams, layout.shape, layout.Kp, T_steps, B),
        pair_gradients(purpose.learns ? layout.shape.pairs : 0,
                       purpose.learns ? most_pairs(layout, T_steps, B) : 0, layout.depth),
        layout_(layout),
        pairs_(model.pairs, T_steps, B, layout.shape.boundary),
        resets_(layout.shape, T_steps, B, purpose.learns && B < sum_rows ? sum_rows : B, layout.Hp),
        streams_(streams),
        rows_(panel_rows(T_steps, B)),
        memory_(elements(layout, T_steps, B, purpose)) {
    if (ok()) take_buffers(purpose);
  }

  bool ok() const {
    return memory_.ok() && mixer.ok() && pairs_.ok() && resets_.ok() && pair_gradients.ok();
  }

  // Set the inputs of the pairs, which must stay where they are; null without pairs.
  void set_pair_inputs(const T* inputs) { pair_inputs_ = inputs; }

  // Read the states of its streams from (L, all streams, H) arrays; get_state writes the states
  // after step t.
  CHARLOOM_NOINLINE void set_state(State<const T> from) {
    if (mixer.on()) mixer.set_recent(from.recent, streams_.first);
    if (pairs_.on()) pairs_.set_recent(from.recent, streams_.first, layout_.shape.recent());
    clear_hidden();
    each_state([&](int which, T* here, std::ptrdiff_t there) {
      *here = (which ? from.cell : from.h)[there];
    }, 0);
  }
  CHARLOOM_NOINLINE void get_state(State<T> to, int t) const {
    if (mixer.on())
      mixer.get_recent(to.recent, streams_.first, t, resets_);
    else if (pairs_.on())
      pairs_.get_recent(to.recent, streams_.first, x, t);
    const_cast<LayerStack*>(this)->each_state([&](int which, T* here, std::ptrdiff_t there) {
      (which ? to.cell : to.h)[there] = *here;
    }, t);
  }
  // Set the states before step 0 to zero, and forget the recent ids.
  CHARLOOM_NOINLINE void reset_state() {
    if (mixer.on()) mixer.forget_recent();
    if (pairs_.on()) pairs_.forget_recent();
    clear_hidden();
  }
  // Copy the state after step t to the place of the state before step 0.
  void move_state_to_start(int t) {
    if (mixer.on()) mixer.move_to_start(t, resets_);
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
    if (resets_.on()) resets_.find(x, steps);
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

  // Give the zero state to the streams that begin an item in the only step of a window, whose layers then run one by
  // one, each in several threads.
  void begin_items() {
    if (!resets_.on()) return;
    resets_.find(x, 1);
    for (int l = 0; l < layout_.shape.layers; ++l)
      resets_.clear(0, 1, layer_[l].h, layer_[l].cell, rows_);
    resets_.find(x, 0);  // so that the threads do not reset them again
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

  // Compute the logits of all rows (stack_products.hpp).
  void logits(const T* block, int steps, bool dropped, Share share = {});

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
        if (resets_.on()) resets_.put_aside(start, end, layer_[l].h, nullptr, rows_);
        recurrent_gradients(l, stretch, gradient);
        if (resets_.on()) resets_.put_back(start, end, layer_[l].h, nullptr, rows_);
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

  // Give every buffer its place in the memory.
  void take_buffers(Purpose purpose) {
    for (int l = 0; l < layout_.shape.layers; ++l)
      layer_[l] = LayerBuffers<T>::take(memory_, layout_, rows_, B, purpose);
    if (purpose.learns && sums_apart(layout_)) columns_ = memory_.take(column_elements(layout_));
    o = memory_.take(rows_ * layout_.Kp);
    x = reinterpret_cast<std::int32_t*>(memory_.take(rows_ + lanes));
    y = reinterpret_cast<std::int32_t*>(memory_.take(rows_ + lanes));
  }

  // Set the states before step 0 to zero, also the padding of the units.
  void clear_hidden() {
    const std::size_t bytes = std::size_t(B) * lanes * sizeof(T);
    for (int l = 0; l < layout_.shape.layers; ++l)
      for (int group = 0; group < layout_.groups; ++group) {
        std::memset(layer_[l].h + place(group, 0), 0, bytes);
        if (layer_[l].cell) std::memset(layer_[l].cell + place(group, 0), 0, bytes);
      }
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

  // The steps of one layer, forward and backward (stack_steps.hpp).
  template <Cell cell>
  void recurrence(const T* block, int l, int steps, Share share);
  template <Cell cell>
  void step_of_streams(const T* block, int l, int t, int first, int end);
  template <Cell cell>
  void step_of_one_stream(const T* block, int l, int t, int first, int end);
  template <Cell cell>
  CHARLOOM_INLINE Vec<T> begin_step(const PanelInputs& inputs, int l, int p, std::ptrdiff_t n,
                                    int vectors, Vec<T>* sums) const;
  template <Cell cell>
  CHARLOOM_INLINE void end_step(int l, int p, std::ptrdiff_t n, int vectors, const Vec<T>* sums,
                                Vec<T> from_input);
  template <Cell cell>
  void backward_through_time(const T* back, int l, int start, int end, int steps);
  template <Cell cell>
  void step_back_of_streams(const T* back, int l, int t, bool last);
  template <Cell cell>
  void step_back_of_one_stream(const T* back, int l, int t, bool last);
  void forget_carry(int l, int t);
  template <Cell cell>
  CHARLOOM_INLINE Vec<T> begin_step_back(int l, int group, std::ptrdiff_t n, int s) const;
  template <Cell cell>
  CHARLOOM_INLINE StepVectors<T> vectors_of(int l, int group, std::ptrdiff_t n) const;

  // Products and sums over all steps of a window or a stretch (stack_products.hpp).
  void input_sums(const T* block, int l, int steps, bool dropped, Share share);
  void character_sums(const T* block, int steps, Share share);
  CHARLOOM_INLINE void character_sum(const T* block, std::ptrdiff_t n, int p, const T* pair);
  void output_gradients(const T* back, int top, std::ptrdiff_t rows, bool dropped, T* gradient);
  void recurrent_gradients(int l, const Stretch& rows, T* gradient);
  void swap_candidates(int l, std::ptrdiff_t first, int count);
  void input_gradients(const T* back, int l, const Stretch& rows, bool dropped, T* gradient);
  void gate_gradients(int l, const Stretch& rows, const T* multiplied, T* gradient);
  void column_gradients(const Stretch& rows, T* gradient);
  void add_pair_gradients(const Stretch& rows);
  static void column_sums(const T* from, std::ptrdiff_t row, std::ptrdiff_t rows, int vectors,
                          bool more, T* to);

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
  const T* pair_inputs_ = nullptr;  // (pairs, G·H), in the layout of the learner; null without pairs
  PairRows pairs_;
  ItemResets<T> resets_;
  const Streams streams_;
  const std::ptrdiff_t rows_;
  Memory<T> memory_;
  T* columns_ = nullptr;  // a panel of dU of layer 0, if it is summed separately
  LayerBuffers<T> layer_[PanelLayout<T>::most_layers];
};

}  // namespace

#include "stack_products.hpp"
#include "stack_steps.hpp"
