// What the bindings and the kernels agree on: plain arrays in one bundle, and a table of functions
// for each instruction set and type. Layouts are the learner's own (row-major, unpadded).
#pragma once

#include <cstddef>
#include <cstdint>

namespace charloom {

enum class Cell : int { rnn, lstm, gru };
enum class Rule : int { adagrad, sgd, rmsprop, adam, adamw };

struct Shape {
  Cell cell;
  int layers, K, H;

  // Inlined always: no weak symbol of theirs may leave an object of an instruction set.
  // Blocks of H rows of U, W and b: the gates, or one block in the plain cell.
  [[gnu::always_inline]] int blocks() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  [[gnu::always_inline]] int arrays_per_layer() const { return cell == Cell::gru ? 4 : 3; }
  [[gnu::always_inline]] int arrays() const { return layers * arrays_per_layer() + 2; }
  [[gnu::always_inline]] int states() const { return cell == Cell::lstm ? 2 : 1; }
};

// The arrays of one network in the learner's order: of each layer U, W, b (and d), then V, c.
template <typename T>
using Arrays = T* const*;

// Recurrent state, (L, B, H) each; cell only where the network is an LSTM.
template <typename T>
struct State {
  T *h, *cell;
};

// Ids as the corpus holds them: 1, 2 or 4 bytes each.
struct Tokens {
  const void* at;
  int bytes;
  std::size_t count;
};

// Threads that run one job together. The kernels know no other way to use more than one.
struct Team {
  int threads;
  void* self;
  void (*run)(void* self, void (*job)(void* context, int thread), void* context);
  void (*barrier)(void* self);  // within a job: wait for all threads
};

// Memory that outlives a call, so that the next need not ask the system again. Piece number `slot`, at
// least so large, aligned to whole vectors, its contents unspecified; null where there is none.
struct Workspace {
  void* self;
  void* (*take)(void* self, int slot, std::size_t bytes);
};

// How updates are made (spec/mathematics.md: Optimizers and clipping).
struct Descent {
  Rule rule;
  double momentum, decay, beta1, beta2, epsilon, weight_decay;
  double clip;  // 0: off
  bool clip_by_norm, mean;
  double dropout;
  std::uint64_t seed;
};

// `count` updates over T steps of B streams; stream s starts at tokens[starts[s]].
struct Windows {
  Tokens tokens;
  const std::int64_t* starts;
  int B, T, count;
  const double* learning_rates;
  std::int64_t update;  // applied before the first of these
};

struct TrainResult {
  int updates;       // applied
  bool not_finite;   // the next update had a loss or gradient that was not finite
  bool no_memory;
  bool bad_id;       // a token was not below K: nothing of its update was applied
  double loss, norm;  // of that update
};

struct Sampler {
  double temperature, top_p, min_p, penalty;
  int top_k, window;
};

enum class Draw { done, not_finite, no_memory };

template <typename T>
struct Kernels {
  // Loss (nats over T steps, averaged over B) and exact gradients of the window x, y of (T, B) ids,
  // by the code that `train` would run for this Descent; `update` names the dropout masks, where
  // dropout is above 0. Returns false without memory.
  bool (*gradients)(Shape, Arrays<T>, const std::int32_t* x, const std::int32_t* y, int T_steps,
                    int B, State<T> state, Descent, std::int64_t update, double* loss,
                    Arrays<T> gradients, State<T> next);
  // slots[k]: the arrays of the rule's k-th slot. losses and norms get an entry per update.
  TrainResult (*train)(Shape, Arrays<T>, const Arrays<T>* slots, State<T>, Windows, Descent, Team,
                       Workspace, double* losses, double* norms);
  // tokens (N, B): nats (N-1, B) of tokens[1:]; the state becomes that after tokens[:-1].
  bool (*score)(Shape, Arrays<T>, State<T>, const std::int32_t* tokens, std::size_t count, int B,
                Team, double* nats);
  // Each state after each token of one stream, (count, L, H); the state becomes the last.
  bool (*activations)(Shape, Arrays<T>, State<T>, const std::int32_t* tokens, std::size_t count,
                      State<T> values);
  // Logits (B, K) after one more character in each stream; the state is updated.
  bool (*step)(Shape, Arrays<T>, State<T>, const std::int32_t* ids, int B, T* logits);
  // Reads read[n - 1], then what it draws; the earlier ids matter to the repetition penalty.
  Draw (*generate)(Shape, Arrays<T>, State<T>, const std::int32_t* read, std::size_t n, Sampler,
                   const double* uniforms, std::size_t count, Team, std::int32_t* ids);
  // For the accuracy tests and the bench: y = f(x), n a multiple of 16.
  void (*exp)(const T* x, T* y, std::size_t n);
  void (*tanh)(const T* x, T* y, std::size_t n);
  void (*sigmoid)(const T* x, T* y, std::size_t n);
  void (*reciprocal_root)(const T* x, T* y, std::size_t n);
  void (*reciprocal)(const T* x, T* y, std::size_t n);
  void (*root)(const T* x, T* y, std::size_t n);
  // Does so many floating-point operations as independent fused multiply-adds: what takes the
  // least time is the peak that shares are quoted of.
  void (*multiply_adds)(double operations);
};

struct InstructionSet {
  const char* name;
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace charloom
