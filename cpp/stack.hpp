// A network of any cell and depth at work on some streams: forward and backward over one window
// (spec/mathematics.md: The cells; The network; Dropout).
//
// What makes it fast: only the recurrence goes step by step, and there all streams at once, each
// weight panel read from the nearest cache for all of them; inputs of upper layers, logits and every
// weight's gradient are products over all steps and streams; a cell's nonlinearities take the sums of
// all its gates while they are at hand. Each thread has a slice of the streams to itself, so that
// threads meet once an update and not once a step. Time it: charloom bench --list.
#pragma once

#include <cstring>

#include "layer_buffers.hpp"
#include "philox.hpp"
#include "softmax.hpp"

namespace {

using charloom::State;

// Which of the streams a slice has, and how many there are in all.
struct Streams {
  int first, count, all;
};
// Part p of B streams divided among some.
inline Streams streams_of(int B, int parts, int p) {
  const int first = even_start(B, parts, p);
  return {first, even_start(B, parts, p + 1) - first, B};
}

// Rows of a lower layer that an upper one reads at a time.
constexpr int input_rows = 256;

template <typename T>
class Slice {
 public:
  static constexpr int lanes = Simd<T>::lanes;

  // Room for windows of up to T_steps steps of some streams.
  Slice(const PanelLayout<T>& layout, int T_steps, Streams streams, Purpose purpose)
      : B(streams.count),
        layout_(layout),
        streams_(streams),
        rows_(panel_rows(T_steps, B)),
        memory_(elements(layout, T_steps, B, purpose)) {
    if (ok()) divide(purpose);
  }
  // The same in piece number `slot` of a workspace, to learn.
  Slice(const PanelLayout<T>& layout, int T_steps, Streams streams, bool drops,
        const charloom::Workspace& workspace, int slot)
      : B(streams.count),
        layout_(layout),
        streams_(streams),
        rows_(panel_rows(T_steps, B)),
        memory_(workspace, slot, elements(layout, T_steps, B, {true, drops})) {
    if (ok()) divide({true, drops});
  }

  bool ok() const { return memory_.ok(); }

  // The states of its streams lie at their places in (L, all streams, H) arrays.
  void set_state(State<const T> from) {
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
  void get_state(State<T> to, int t) const {
    const_cast<Slice*>(this)->each_state([&](int which, T* here, std::ptrdiff_t there) {
      (which ? to.cell : to.h)[there] = *here;
    }, t);
  }
  // The state after step t becomes the state before step 0.
  void carry(int t) {
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

  // Reads x (row t·B + s: step t of stream s); all layers, then the logits o.
  void forward(const T* block, int steps, const Dropout<T>& dropout) {
    for (int l = 0; l < layout_.shape.layers; ++l) {
      layer(block, l, steps, dropout.any());
      if (dropout.any()) drop(l, steps, dropout);
    }
    logits(block, steps, dropout.any());
  }

  // One layer, of what the one below it gave; of a single step also a share of it, the others' at the
  // same time.
  void layer(const T* block, int l, int steps, bool dropped, Share share = {}) {
    if (l > 0) inputs(block, l, steps, dropped, share);
    switch (layout_.shape.cell) {
      case Cell::rnn: return recurrence<Cell::rnn>(block, l, steps, share);
      case Cell::lstm: return recurrence<Cell::lstm>(block, l, steps, share);
      case Cell::gru: return recurrence<Cell::gru>(block, l, steps, share);
    }
  }

  void logits(const T* block, int steps, bool dropped, Share share = {}) {
    const T* c = block + layout_.c;
    const int last = layout_.logits.vectors - 1, K = layout_.shape.K;
    panel_product<T>(
        steps * B, layout_.logits, layout_.shape.H,
        output_factors(layout_.shape.layers - 1, dropped), block + layout_.V, layout_.Hp,
        [&](int, int v) CHARLOOM_LAMBDA { return load<T>(c + v * lanes); },
        [&](int n, int v, Vec<T> sum) CHARLOOM_LAMBDA {
          T* row = o + n * layout_.Kp;
          store<T>(row + v * lanes, sum);
          if (v == last)
            for (std::ptrdiff_t k = K; k < layout_.Kp; ++k) row[k] = padding_logit<T>;
        },
        share);
  }

  // The nats of y in row n; the row becomes exp(o - max o), whose sum is `normalizer`.
  double surprise(std::ptrdiff_t n, T& normalizer) {
    T* row = o + n * layout_.Kp;
    const T target = row[y[n]];
    T most;
    normalizer = exponentials<T>(row, layout_.logits.vectors, most);
    return __builtin_log(static_cast<double>(normalizer)) - (double(target) - double(most));
  }

  // The nats of all rows together; o becomes the gradient of the logits, (softmax - onehot) · scale.
  double loss(int steps, T scale) {
    double total = 0;
    for (std::ptrdiff_t n = 0; n < std::ptrdiff_t(steps) * B; ++n) {
      T normalizer;
      total += surprise(n, normalizer);
      T* row = o + n * layout_.Kp;
      const T factor = scale / normalizer;
      for (int v = 0; v < layout_.logits.vectors; ++v)
        store<T>(row + v * lanes, load<T>(row + v * lanes) * factor);
      row[y[n]] -= scale;
    }
    return total;
  }

  // The gradient of every parameter, into a block; uses up the gates. A layer is gone back through in
  // stretches of steps: what a stretch adds to the gradients is summed while its gates are near.
  void backward(const T* back, int steps, bool dropped, T* gradient) {
    const int top = layout_.shape.layers - 1, steps_at_once = B < sum_rows ? sum_rows / B : 1;
    output_gradients(back, top, std::ptrdiff_t(steps) * B, dropped, gradient);
    for (int l = top; l >= 0; --l) {
      std::memset(layer_[l].carry, 0, std::size_t(B) * layout_.Hp * sizeof(T));
      for (int end = steps; end > 0; end -= steps_at_once) {
        const int start = end > steps_at_once ? end - steps_at_once : 0;
        switch (layout_.shape.cell) {
          case Cell::rnn: through_time<Cell::rnn>(back, l, start, end, steps); break;
          case Cell::lstm: through_time<Cell::lstm>(back, l, start, end, steps); break;
          case Cell::gru: through_time<Cell::gru>(back, l, start, end, steps); break;
        }
        const Stretch stretch{std::ptrdiff_t(start) * B, (end - start) * B, end < steps};
        recurrent_gradients(l, stretch, gradient);
        if (layout_.shape.cell == Cell::gru) swap_candidates(l, stretch.first, stretch.count);
        input_gradients(back, l, stretch, dropped, gradient);
        if (layout_.shape.cell == Cell::gru) swap_candidates(l, stretch.first, B);
      }
    }
  }

  // h of layer l and unit i after step t of stream s, and the LSTM's cell.
  T state_at(int l, int which, std::ptrdiff_t row, int unit) const {
    const T* from = which ? layer_[l].cell : layer_[l].h;
    return from[(unit / lanes * rows_ + row) * lanes + unit % lanes];
  }

  const int B;
  T* o = nullptr;                           // (T·B, Kp)
  std::int32_t *x = nullptr, *y = nullptr;  // (T·B)

 private:
  // Some rows of a window, and whether others were summed before them.
  struct Stretch {
    std::ptrdiff_t first;
    int count;
    bool more;
  };

  // dV, dc, and the gradient of the top layer's outputs.
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
    panel_product<T>(static_cast<int>(rows), layout_.units, layout_.shape.K,
                     Factors<T>{o, layout_.Kp, 1, 0, layout_.shape.K}, back + layout_.V_back,
                     layout_.Kp, [](int, int) CHARLOOM_LAMBDA { return Vec<T>{}; },
                     into_dh(top, dropped));
  }

  // Gives every buffer its place.
  void divide(Purpose purpose) {
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

  // What the layer above reads of layer l, and how many rows its panels have.
  const T* output(int l, bool dropped) const {
    return dropped ? layer_[l].out : layer_[l].h + std::ptrdiff_t(B) * lanes;
  }
  Factors<T> output_factors(int l, bool dropped) const {
    return {output(l, dropped), lanes, 1, rows_ * lanes, lanes};
  }

  // gates = U y + b for all steps of a layer that reads another; some hundred rows of y at a time,
  // which stay in the second-level cache while every panel of U goes over them.
  void inputs(const T* block, int l, int steps, bool dropped, Share share) {
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

  template <Cell cell>
  void recurrence(const T* block, int l, int steps, Share share) {
    LayerBuffers<T>& at = layer_[l];
    const int vectors = layout_.vectors;
    const int first_panel = share.first(layout_.panels), end_panel = share.end(layout_.panels);
    // A panel holds one group of units, except the plain cell's.
    const int groups = cell == Cell::rnn ? vectors : 1;
    const T* d = block + layout_.at[l].d;
    for (int t = 0; t < steps; ++t)
      for (int i = first_panel; i < end_panel; ++i) {
        // To and fro, so that a step begins with the panel that the last one left in the cache.
        const int p = t & 1 ? first_panel + end_panel - 1 - i : i;
        const T* W = block + layout_.at[l].W + p * layout_.Hp * layout_.row;
        const T* b = block + layout_.at[l].b + p * layout_.row;
        each_block(B, rows_for(vectors), [&](int r0, int count) {
          const std::ptrdiff_t n0 = std::ptrdiff_t(t) * B + r0;
          Vec<T> sums[most_rows * most_vectors], from_input[most_rows];
          for (int r = 0; r < count; ++r) {
            Vec<T>* row = sums + r * vectors;
            if (l == 0) {
              const T* U = block + layout_.at[0].U +
                           (std::ptrdiff_t(p) * layout_.shape.K + x[n0 + r]) * layout_.row;
              for (int v = 0; v < vectors; ++v)
                row[v] = load<T>(U + v * lanes) + load<T>(b + v * lanes);
            } else {
              const T* gates = at.gates + (p * rows_ + n0 + r) * layout_.row;
              for (int v = 0; v < vectors; ++v) row[v] = load<T>(gates + v * lanes);
            }
            if constexpr (cell == Cell::gru) {  // the reset gate acts on W_n h + d alone
              from_input[r] = row[2];
              row[2] = load<T>(d + p * lanes);
            }
          }
          tile_for<T>(count, vectors, streams_.all == 1)(
              Factors<T>{at.h + n0 * lanes, lanes, 1, rows_ * lanes, lanes}, W, layout_.row,
              layout_.shape.H, sums);
          for (int r = 0; r < count; ++r)
            for (int v = 0; v < groups; ++v)
              CellStep<cell, T>::forward(vectors_of<cell>(l, p * groups + v, n0 + r),
                                         sums + r * vectors + v, from_input[r]);
        });
      }
  }

  // BPTT through one layer from step end - 1 to `start`: gates become the gradients of their sums.
  template <Cell cell>
  void through_time(const T* back, int l, int start, int end, int steps) {
    LayerBuffers<T>& at = layer_[l];
    const Columns& units = layout_.units;
    for (int t = end - 1; t >= start; --t)
      for (int p = 0; p < units.panels; ++p) {
        const int first = units.first(p), width = units.width(p);
        const T* W = back + layout_.at[l].W_back + first * lanes * layout_.depth;
        each_block(B, rows_for(width), [&](int r0, int count) {
          const std::ptrdiff_t n0 = std::ptrdiff_t(t) * B + r0;
          Vec<T> sums[most_rows * most_vectors];
          for (int r = 0; r < count; ++r)
            for (int v = 0; v < width; ++v) {
              Vec<T> dh = load<T>(at.dh + place(first + v, n0 + r));
              if constexpr (cell == Cell::gru)
                dh += load<T>(at.carry + carried(first + v, r0 + r));
              sums[r * width + v] = dh;
            }
          if (t + 1 < steps)
            tile_for<T>(count, width, streams_.all == 1)(
                Factors<T>{at.gates + (n0 + B) * layout_.row, layout_.row, 1, rows_ * layout_.row,
                           static_cast<int>(layout_.row)},
                W, width * lanes, static_cast<int>(layout_.depth), sums);
          for (int r = 0; r < count; ++r)
            for (int v = 0; v < width; ++v)
              CellStep<cell, T>::backward(vectors_of<cell>(l, first + v, n0 + r),
                                          at.carry + carried(first + v, r0 + r),
                                          sums[r * width + v]);
        });
      }
  }

  // What a stretch adds to dW and the GRU's dd.
  void recurrent_gradients(int l, const Stretch& rows, T* gradient) {
    const LayerBuffers<T>& at = layer_[l];
    gate_gradients(l, rows, at.h, gradient + layout_.at[l].W);
    if (layout_.shape.cell != Cell::gru) return;
    for (int p = 0; p < layout_.panels; ++p)
      column_sums(at.gates + (p * rows_ + rows.first) * layout_.row + 2 * lanes, layout_.row, rows.count,
                  1, rows.more, gradient + layout_.at[l].d + p * lanes);
  }

  // Step by step backward the GRU's gates hold one gradient of the candidate, for the inputs the other.
  void swap_candidates(int l, std::ptrdiff_t first, int count) {
    for (int p = 0; p < layout_.panels; ++p)
      for (std::ptrdiff_t n = first; n < first + count; ++n)
        CellStep<Cell::gru, T>::swap_candidates(vectors_of<Cell::gru>(l, p, n));
  }

  // What a stretch adds to db and dU; above layer 0 also the gradient of what the layer read.
  void input_gradients(const T* back, int l, const Stretch& rows, bool dropped, T* gradient) {
    for (int p = 0; p < layout_.panels; ++p)
      column_sums(layer_[l].gates + (p * rows_ + rows.first) * layout_.row, layout_.row, rows.count,
                  layout_.vectors, rows.more, gradient + layout_.at[l].b + p * layout_.row);
    if (l == 0) {
      column_gradients(rows, gradient);
      return;
    }
    gate_gradients(l, rows, output(l - 1, dropped), gradient + layout_.at[l].U);
    panel_product<T>(rows.count, layout_.units, static_cast<int>(layout_.depth),
                     Factors<T>{layer_[l].gates + rows.first * layout_.row, layout_.row, 1,
                                rows_ * layout_.row, static_cast<int>(layout_.row)},
                     back + layout_.at[l].U_back, layout_.depth,
                     [](int, int) CHARLOOM_LAMBDA { return Vec<T>{}; },
                     into_dh(l - 1, dropped, rows.first));
  }

  // What a stretch adds to the gradient of a matrix of gates × units, from what it multiplied.
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

  // What a stretch adds to dU of the layer that reads characters: to a column those rows that read it. All but
  // the first are summed apart, so that a long sum loses no digits.
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

  // A product's end: the gradient of layer l's outputs from row `first` on, back through its dropout.
  auto into_dh(int l, bool dropped, std::ptrdiff_t first = 0) {
    T* dh = layer_[l].dh;
    const T* mask = dropped ? layer_[l].mask : nullptr;
    return [this, dh, mask, first](int n, int v, Vec<T> sum) CHARLOOM_LAMBDA {
      const std::ptrdiff_t at = place(v, first + n);
      store<T>(dh + at, mask ? sum * load<T>(mask + at) : sum);
    };
  }

  void drop(int l, int steps, const Dropout<T>& dropout) {
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

  // Sums of columns, added to those of other rows where there are `more`, some hundred rows at a time, so
  // that a long sum loses no digits.
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

  // The vectors of row n of a group of units in the buffers of layer l.
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

  // Where row n of a group of units is in the buffers of one vector, and row s of it in `carry`.
  std::ptrdiff_t place(std::ptrdiff_t group, std::ptrdiff_t n) const {
    return (group * rows_ + n) * lanes;
  }
  std::ptrdiff_t carried(std::ptrdiff_t group, std::ptrdiff_t s) const {
    return (group * B + s) * lanes;
  }

  // Rows of every panel: T·B and B more for the state before. An odd number of steps, so that the
  // panels' rows of one step do not all fall on the same lines of a cache.
  static std::ptrdiff_t panel_rows(int T_steps, int streams) {
    return static_cast<std::ptrdiff_t>((T_steps + 1) | 1) * streams;
  }

  // A panel of dU of the layer that reads characters; and whether its columns are so few that a stretch
  // sums them apart: with more, most columns of a stretch would be zeros.
  static std::ptrdiff_t column_elements(const PanelLayout<T>& l) {
    return std::ptrdiff_t(l.shape.K) * l.row;
  }
  static bool sums_apart(const PanelLayout<T>& l) { return l.shape.K <= sum_rows; }

  static std::size_t elements(const PanelLayout<T>& l, int T_steps, int streams, Purpose purpose) {
    const std::ptrdiff_t rows = panel_rows(T_steps, streams);
    const std::ptrdiff_t layer = LayerBuffers<T>::elements(l, rows, streams, purpose);
    const std::ptrdiff_t columns = purpose.learns && sums_apart(l) ? column_elements(l) : 0;
    return static_cast<std::size_t>(layer * l.shape.layers + columns + rows * l.Kp +
                                    2 * (rows + lanes));
  }

  const PanelLayout<T>& layout_;
  const Streams streams_;
  const std::ptrdiff_t rows_;
  Memory<T> memory_;
  T* columns_ = nullptr;  // a panel of layer 0's dU, where it is summed apart
  LayerBuffers<T> layer_[PanelLayout<T>::most_layers];
};

}  // namespace
