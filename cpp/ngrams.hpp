// The probability of each next character by the n-grams of a text (spec/mathematics.md: N-grams).
//
// The n-grams form a tree of contexts. The root is the empty context; a child extends the context
// of its parent by one earlier character. Each context has shares for the characters that followed
// it, and a factor for the probabilities of the shorter context.
#pragma once

#include <cstring>

#include "item_resets.hpp"
#include "kernels.hpp"
#include "memory.hpp"
#include "simd.hpp"
#include "softmax.hpp"

namespace {

using charloom::NGrams;

// Rows of logarithms whose contexts are followed together, so that their memory accesses overlap.
template <typename T>
struct NGramRows {
  static constexpr int most = 16;

  int count = 0;
  const std::int32_t* last[most];  // the last id of each context
  int column[most];
  T* row[most];
  std::uint32_t context[most];
  bool longer[most];  // a longer context may follow
};

template <typename T>
class NGramReader {
 public:
  static constexpr int lanes = Simd<T>::lanes;
  static constexpr T least = T(1e-30);  // a smaller probability counts as this one

  NGramReader(const NGrams& ngrams, int K, int boundary, int vectors)
      : ngrams_(ngrams), K_(K), boundary_(boundary), vectors_(vectors) {}

  int column(std::int64_t target) const { return ngrams_.column(target); }
  int given_column(int column) const { return column < ngrams_.columns ? column : 0; }

  // Write the logarithm of the probability of each character after each context to its row, and 0
  // to the padding. The order - 1 ids of a context end at `last`; an id below 0 ends it earlier, and so
  // does the boundary of items, which is its first id then.
  void logarithms(NGramRows<T>& rows) const {
    for (int r = 0; r < rows.count; ++r) {
      for (int v = 0; v < vectors_; ++v) store<T>(rows.row[r] + v * lanes, splat<T>(T(1) / T(K_)));
      rows.context[r] = 0;
      rows.longer[r] = true;
    }
    for (int length = 0; length < ngrams_.order; ++length) {
      if (length > 0 && !extend(rows, length)) break;
      for (int r = 0; r < rows.count; ++r)
        if (rows.longer[r]) add(rows.context[r], rows.column[r], rows.row[r]);
    }
    for (int r = 0; r < rows.count; ++r) {
      T* row = rows.row[r];
      for (int v = 0; v < vectors_; ++v)
        store<T>(row + v * lanes, log<T>(at_least<T>(load<T>(row + v * lanes), splat<T>(least))));
      for (int k = K_; k < vectors_ * lanes; ++k) row[k] = 0;
    }
  }

 private:
  // Replace each context by its child for the character before it. Return false if none has one.
  bool extend(NGramRows<T>& rows, int length) const {
    bool any = false;
    for (int r = 0; r < rows.count; ++r) {
      if (!rows.longer[r]) continue;
      rows.longer[r] = (length == 1 || rows.last[r][2 - length] != boundary_) &&
                       child(rows.context[r], rows.last[r][1 - length]);
      if (!rows.longer[r]) continue;
      any = true;
      __builtin_prefetch(ngrams_.followers + rows.context[r]);
      __builtin_prefetch(ngrams_.children + rows.context[r]);
      __builtin_prefetch(ngrams_.factors + rows.column[r] * ngrams_.contexts + rows.context[r]);
    }
    for (int r = 0; r < rows.count; ++r) {
      if (!rows.longer[r]) continue;
      const std::size_t first = ngrams_.followers[rows.context[r]];
      __builtin_prefetch(ngrams_.follower_ids + first);
      __builtin_prefetch(ngrams_.shares + rows.column[r] * ngrams_.entries + first);
      __builtin_prefetch(ngrams_.child_ids + ngrams_.children[rows.context[r]]);
    }
    return any;
  }

  // Replace a context by its child for the earlier character `id`. Return false if it has none.
  bool child(std::uint32_t& context, std::int32_t id) const {
    if (id < 0) return false;
    const auto wanted = static_cast<std::uint32_t>(id);
    std::uint32_t low = ngrams_.children[context], high = ngrams_.children[context + 1];
    const std::uint32_t end = high;
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      if (ngrams_.child_ids[middle] < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    if (low == end || ngrams_.child_ids[low] != wanted) return false;
    context = low;
    return true;
  }

  // Turn the probabilities of a row, given the shorter context, into those given the context.
  void add(std::uint32_t context, int column, T* row) const {
    const T factor = ngrams_.factors[column * ngrams_.contexts + context];
    for (int v = 0; v < vectors_; ++v)
      store<T>(row + v * lanes, load<T>(row + v * lanes) * factor);
    const float* shares = ngrams_.shares + column * ngrams_.entries;
    const std::uint32_t end = ngrams_.followers[context + 1];
    for (std::uint32_t e = ngrams_.followers[context]; e < end; ++e)
      row[ngrams_.follower_ids[e]] += shares[e];
  }

  const NGrams ngrams_;
  int K_, boundary_, vectors_;  // the boundary is -1 without items
};

// Mixes the n-grams into the logits of some streams over one window. Row n of the logits has the
// weight of the n-grams at index K. With l the logarithms of row n, the mixed logits are
// o + o[K] l.
template <typename T>
class NGramMixer {
 public:
  static constexpr int lanes = Simd<T>::lanes;

  // `Kp` is the length of a row of logits. Without n-grams, the mixer takes almost no memory.
  NGramMixer(const NGrams& ngrams, charloom::Shape shape, std::ptrdiff_t Kp, int T_steps,
             int streams)
      : reader_(ngrams, shape.K, shape.boundary, static_cast<int>(Kp / lanes)),
        K_(shape.K),
        B_(streams),
        kept_(shape.recent()),
        Kp_(Kp),
        length_(kept_ + T_steps),
        on_(ngrams.order > 0),
        logs_(on_ ? static_cast<std::size_t>(T_steps) * B_ * Kp : 0),
        ids_(on_ ? static_cast<std::size_t>(B_) * (length_ + T_steps) : 0) {
    if (!on_ || !ok()) return;
    rows_ = logs_.take(std::ptrdiff_t(T_steps) * B_ * Kp);
    contexts_ = ids_.take(std::ptrdiff_t(B_) * length_);
    columns_ = ids_.take(std::ptrdiff_t(B_) * T_steps);
  }

  bool ok() const { return logs_.ok() && ids_.ok(); }
  bool on() const { return on_; }

  // Read the recent ids of the streams from `first` on; get_recent writes those after step t.
  void set_recent(const std::int32_t* recent, int first) {
    for (int s = 0; s < B_; ++s) copy(recent + std::ptrdiff_t(first + s) * kept_, context(s));
  }
  // An item's beginning forgets the ids before it.
  void get_recent(std::int32_t* recent, int first, int t, const ItemResets<T>& resets) const {
    for (int s = 0; s < B_; ++s) {
      std::int32_t* to = recent + std::ptrdiff_t(first + s) * kept_;
      copy(context(s) + t, to);
      resets.forget_earlier(to, kept_);
    }
  }
  void forget_recent() {
    for (int s = 0; s < B_; ++s)
      for (int i = 0; i < kept_; ++i) context(s)[i] = -1;
  }
  // Move the recent ids after step t to the place of those before step 0.
  void move_to_start(int t, const ItemResets<T>& resets) {
    for (int s = 0; s < B_; ++s) {
      std::memmove(context(s), context(s) + t, kept_ * sizeof(*contexts_));
      resets.forget_earlier(context(s), kept_);
    }
  }

  // Set the columns of all rows of a window of T_steps steps, (T·B).
  void set_columns(const std::int32_t* columns, int T_steps) {
    std::memcpy(columns_, columns, sizeof(*columns) * T_steps * B_);
  }
  // Set the column of row n, whose target has this index in the training text.
  void set_column(std::ptrdiff_t n, std::int64_t target) { columns_[n] = reader_.column(target); }
  void set_given_column(std::ptrdiff_t n, int column) { columns_[n] = reader_.given_column(column); }

  // Mix the n-grams into the logits o of `steps` steps. Row t·B + s of x has the id of step t.
  void mix(const std::int32_t* x, int steps, T* o) const {
    for (int s = 0; s < B_; ++s)
      for (int t = 0; t < steps; ++t) context(s)[kept_ + t] = x[std::ptrdiff_t(t) * B_ + s];
    const int rows = steps * B_;
    for (int first = 0; first < rows; first += NGramRows<T>::most) {
      NGramRows<T> some;
      some.count = rows - first < some.most ? rows - first : some.most;
      for (int r = 0; r < some.count; ++r) {
        const int n = first + r;
        some.last[r] = context(n % B_) + kept_ + n / B_;
        some.column[r] = columns_[n];
        some.row[r] = rows_ + n * Kp_;
      }
      reader_.logarithms(some);
      for (int r = 0; r < some.count; ++r) mix_row(some.row[r], o + (first + r) * Kp_);
    }
  }

  // Set the gradient of the weight in row n from the gradient of the logits there.
  void weight_gradient(std::ptrdiff_t n, T* row) const {
    const T* l = rows_ + n * Kp_;
    Vec<T> products{};
    for (int i = 0; i < Kp_; i += lanes) products += load<T>(row + i) * load<T>(l + i);
    row[K_] = sum<T>(products);
  }

 private:
  void mix_row(const T* l, T* row) const {
    const T weight = row[K_];
    row[K_] = padding_logit<T>;
    for (int i = 0; i < Kp_; i += lanes)
      store<T>(row + i, load<T>(row + i) + load<T>(l + i) * weight);
  }

  std::int32_t* context(int s) const { return contexts_ + std::ptrdiff_t(s) * length_; }
  void copy(const std::int32_t* from, std::int32_t* to) const {
    std::memcpy(to, from, static_cast<std::size_t>(kept_) * sizeof(*to));
  }

  NGramReader<T> reader_;
  int K_, B_, kept_;
  std::ptrdiff_t Kp_, length_;
  bool on_;
  Memory<T> logs_;
  Memory<std::int32_t> ids_;
  T* rows_ = nullptr;                 // (T·B, Kp): the logarithms
  std::int32_t* contexts_ = nullptr;  // (B, kept_ + T): recent ids, then those of the window
  std::int32_t* columns_ = nullptr;   // (T·B): the column of the n-grams for each row, 0 at first
};

}  // namespace
