// The interface between the bindings and the kernels: plain structs, and a table of functions for
// each instruction set and dtype. Arrays have the layout of the learner: row-major, without
// padding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace charloom {

enum class Cell : int { rnn, lstm, gru };
enum class Rule : int { adagrad, sgd, rmsprop, adam, adamw };

struct Shape {
  Cell cell;
  int layers, K, H;
  int ngram_order;  // 0: the network has no n-grams
  int pairs;        // the pairs of characters with an input of their own; 0: none
  int boundary;     // the id that begins and ends items; -1: the text is a stream

  // The functions are always inlined. Otherwise each object file would have a weak symbol of them,
  // and the linker could choose the one of an instruction set that the processor does not have.

  // The number of blocks of H rows in U, W and b: the gates, or 1 for the plain cell.
  [[gnu::always_inline]] int blocks() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  [[gnu::always_inline]] std::ptrdiff_t gate_rows() const { return std::ptrdiff_t(blocks()) * H; }
  [[gnu::always_inline]] int arrays_per_layer() const { return cell == Cell::gru ? 4 : 3; }
  [[gnu::always_inline]] int arrays() const {
    return layers * arrays_per_layer() + (ngram_order ? 4 : 2) + (pairs ? 1 : 0);
  }
  // Whether a state has recent ids, and how many of each stream.
  [[gnu::always_inline]] bool has_recent() const { return ngram_order > 0 || pairs > 0; }
  [[gnu::always_inline]] int recent() const {
    return ngram_order > 1 ? ngram_order - 1 : pairs > 0 ? 1 : 0;
  }
  // The number of rows of V in the kernels: the characters, and with n-grams their weight.
  [[gnu::always_inline]] int outputs() const { return K + (ngram_order ? 1 : 0); }
  [[gnu::always_inline]] int states() const { return cell == Cell::lstm ? 2 : 1; }
};

// The arrays of one network in the order of the learner: U, W, b (and d) of each layer, then V, c.
// A network with n-grams also has the weight of the n-grams, (1, H), and its bias, (1). A network with
// pairs has, as its last array, the inputs of the pairs, (pairs, G·H).
template <typename T>
using Arrays = T* const*;

// The recurrent state, arrays of shape (L, B, H). `cell` is null unless the network is an LSTM.
// `recent` is null unless the network has n-grams or pairs. It has the last ids that each stream read,
// (1, B, shape.recent()), the latest last; -1 stands for no id.
template <typename T>
struct State {
  T *h, *cell;
  std::int32_t* recent;
};

// The n-grams of a text (ngrams.hpp). Context c has the children children[c] … children[c + 1] - 1,
// which are contexts too, in ascending order of child_ids; and the entries followers[c] …
// followers[c + 1] - 1. Shares and factors have a row for each column: (columns, entries) and
// (columns, contexts). Column 0 counts the whole text, column 1 + p all of it but part p. The parts
// divide the first `counted` characters of the training text.
struct NGrams {
  int order, columns;
  std::int64_t counted;
  const std::uint32_t *children, *child_ids, *followers, *follower_ids;
  const float *shares, *factors;
  std::size_t contexts, entries;

  // Return the column that predicts the character at an index of the training text: it leaves out
  // the part with that character.
  [[gnu::always_inline]] int column(std::int64_t index) const {
    return index >= counted ? 0 : 1 + static_cast<int>(index * (columns - 1) / counted);
  }
};

// The pairs of characters with an input of their own, each of them in a row of the last array. With
// few characters, `table` has the row of each pair, (K, K), or -1; otherwise it is null. Then `codes`
// has the codes previous · K + present of the `used` rows with a pair, ascending, and `rows` their rows.
struct Pairs {
  int count, K;
  std::size_t used;
  const std::int32_t *table, *rows;
  const std::int64_t* codes;

  // Return the row of a pair; -1 if it has none, or if there is no previous id (-1).
  [[gnu::always_inline]] std::int32_t row(std::int32_t previous, std::int32_t present) const {
    if (previous < 0) return -1;
    const std::int64_t code = std::int64_t(previous) * K + present;
    if (table != nullptr) return table[code];
    std::size_t low = 0, high = used;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (codes[middle] < code)
        low = middle + 1;
      else
        high = middle;
    }
    return low < used && codes[low] == code ? rows[low] : -1;
  }
};

// A network: its sizes, its arrays, and the n-grams and pairs of its text if it has any.
template <typename T>
struct Model {
  Shape shape;
  Arrays<T> arrays;
  NGrams ngrams;
  Pairs pairs;

  // The inputs of the pairs, (pairs, G·H), which are not packed; null without pairs.
  [[gnu::always_inline]] T* pair_inputs() const {
    return shape.pairs ? arrays[shape.arrays() - 1] : nullptr;
  }
};

// The ids of a text: 1, 2 or 4 bytes each.
struct Tokens {
  const void* at;
  int bytes;
  std::size_t count;

  [[gnu::always_inline]] std::uint32_t id(std::size_t index) const {
    return bytes == 1   ? static_cast<const std::uint8_t*>(at)[index]
           : bytes == 2 ? static_cast<const std::uint16_t*>(at)[index]
                        : static_cast<const std::uint32_t*>(at)[index];
  }
};

// A job that the threads of a team do together, phase after phase. A phase has one part per thread.
// Any thread can do a part, and any thread calls next_phase, once all parts of a phase are done.
struct Job {
  void* self;
  void (*do_part)(void* self, int part);
  bool (*next_phase)(void* self);  // prepare the next phase; return false if the job is done
};

// Threads that do one job together. The kernels start no other threads.
struct Team {
  int threads;
  void* self;
  void (*run)(void* self, const Job& job);
};

// The optimizer and its settings (spec/mathematics.md: Optimizers and clipping).
struct Descent {
  Rule rule;
  double momentum, decay, beta1, beta2, epsilon, weight_decay;
  bool decays_biases;  // whether weight_decay shrinks the biases too
  double averaging;    // the fraction of the updates over which the weights are averaged; 0: off
  double clip;         // 0: off
  bool clip_by_norm, mean;
  double dropout;
  std::uint64_t seed;

  // The number of arrays that the rule stores for every parameter, and with the averaged weights.
  [[gnu::always_inline]] int rule_slots() const {
    return rule == Rule::adam || rule == Rule::adamw ? 2 : 1;
  }
  [[gnu::always_inline]] int slots() const { return rule_slots() + (averaging > 0 ? 1 : 0); }
};

// The windows of `count` updates, each over T steps of B streams. `starts` and `places` say where the
// windows begin in `tokens` and in the whole text: those of the first update only, (B), from which each
// later window follows the one before it, or those of every update, (count, B). `offset` is added to each.
struct Windows {
  Tokens tokens;
  const std::int64_t *starts, *places;
  std::int64_t offset;
  std::ptrdiff_t row, step;  // 0 and T if `starts` has the first update only, otherwise B and 0
  const std::uint8_t* resets;  // (count): not 0 if the states are set to zero before the update; null: none
  const std::uint8_t* columns;  // of each token: the column of the n-grams that predicts it; null: that of its place
  int B, T, count;
  const double* learning_rates;
  std::int64_t update;  // number of updates that were applied before the first of these

  [[gnu::always_inline]] std::int64_t start(int u, int s) const { return starts[u * row + s] + offset + u * step; }
  [[gnu::always_inline]] std::int64_t place(int u, int s) const { return places[u * row + s] + offset + u * step; }
  [[gnu::always_inline]] bool reset(int u) const { return resets != nullptr && resets[u] != 0; }
};

struct TrainResult {
  int updates;       // number of applied updates
  bool not_finite;   // the next update was not applied: its loss or gradient was not finite
  bool bad_id;       // the next update was not applied: a token was not below K
  double loss, norm;  // of the update that was not applied
};

struct Sampler {
  double temperature, top_p, min_p, penalty;
  int top_k, window;
};

enum class Draw { done, not_finite, no_memory };

template <typename T>
struct Kernels {
  // Compute the loss (nats over T steps, averaged over B) and the exact gradients of the window x,
  // y of (T, B) ids. It runs the code that `train` would run for this Descent. `update` selects the
  // dropout masks if dropout is above 0. `columns`, (T, B), has the column of the n-grams for each
  // target. Return false if there is not enough memory.
  bool (*gradients)(const Model<T>&, const std::int32_t* x, const std::int32_t* y,
                    const std::int32_t* columns, int T_steps, int B, State<T> state, Descent,
                    std::int64_t update, double* loss, Arrays<T> gradients, State<T> next);
  // Return a network that is trained with windows of T_steps of B streams, in the layout of the kernels; null if
  // there is not enough memory. It stays until it is closed. The n-grams and pairs of the model, whose arrays
  // are not read, must stay as long.
  void* (*open_training)(const Model<T>&, int T_steps, int B, const Descent&, int threads);
  void (*close_training)(void* network);
  // Copy weights, slots and states into its layout, and back. slots[k] has the arrays of slot k of the
  // optimizer, the last slot those of the averaged weights, if there are any. The inputs of pairs and their
  // slots are not copied: `train` reads and writes those of the last load_arrays.
  void (*load_arrays)(void* network, Arrays<T> weights, const Arrays<T>* slots, State<T>);
  void (*store_arrays)(const void* network, Arrays<T> weights, const Arrays<T>* slots, State<T>);
  // Apply updates to a network that was loaded, with as many threads as it was opened for. losses and norms get
  // one entry per update.
  TrainResult (*train)(void* network, const Windows&, const Team&, double* losses, double* norms);
  // Write nats (N-1, B) of tokens[1:], for tokens (N, B). The state becomes that after tokens[:-1].
  bool (*score)(const Model<T>&, State<T>, const std::int32_t* tokens, std::size_t count, int B,
                Team, double* nats);
  // Write the states after each token of one stream, (count, L, H). The state becomes the last of
  // them.
  bool (*activations)(const Model<T>&, State<T>, const std::int32_t* tokens, std::size_t count,
                      State<T> values);
  // Compute the logits (B, K) after one more id in each stream, and update the state.
  bool (*step)(const Model<T>&, State<T>, const std::int32_t* ids, int B, T* logits);
  // Read read[n - 1], then draw `count` ids, reading each. The ids before read[n - 1] only matter
  // to the repetition penalty.
  Draw (*generate)(const Model<T>&, State<T>, const std::int32_t* read, std::size_t n, Sampler,
                   const double* uniforms, std::size_t count, Team, std::int32_t* ids);
  // Compute y = f(x), n a multiple of 16, for the tests of accuracy and the bench.
  void (*exp)(const T* x, T* y, std::size_t n);
  void (*log)(const T* x, T* y, std::size_t n);
  void (*tanh)(const T* x, T* y, std::size_t n);
  void (*sigmoid)(const T* x, T* y, std::size_t n);
  void (*reciprocal_root)(const T* x, T* y, std::size_t n);
  void (*reciprocal)(const T* x, T* y, std::size_t n);
  void (*root)(const T* x, T* y, std::size_t n);
  // Do this number of floating-point operations as independent fused multiply-adds. Its shortest
  // time gives the peak rate of a core.
  void (*multiply_adds)(double operations);
};

struct InstructionSet {
  const char* name;
  const Kernels<float>& f32;
  const Kernels<double>& f64;
};

}  // namespace charloom
