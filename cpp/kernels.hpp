// What the bindings and the kernels agree on: plain arrays in one bundle, and a table of functions
// for each instruction set and type. Layouts are the learner's own (row-major, unpadded).
#pragma once

#include <cstddef>
#include <cstdint>

namespace charloom {

// One network of the plain cell. U (H, K), W (H, H), b (H), V (K, H), c (K).
template <typename T>
struct Weights {
  T *U, *W, *b, *V, *c;
};

struct Shape {
  int K, H;
};

// Ids as the corpus holds them: 1, 2 or 4 bytes each.
struct Tokens {
  const void* at;
  int bytes;
  std::size_t count;
};

struct TrainResult {
  int updates;       // applied
  bool not_finite;   // the next update had a loss or gradient that was not finite
  bool no_memory;
  double loss, norm;  // of that update
};

enum class Draw { done, not_finite, no_memory };

template <typename T>
struct Kernels {
  // Loss (nats over T steps) and exact gradients of the window x, y of T ids each; h (H) is read,
  // h_next written. Returns false where memory ran out.
  bool (*gradients)(Shape, Weights<T>, const std::int32_t* x, const std::int32_t* y, int T_steps,
                    const T* h, double* loss, Weights<T> gradients, T* h_next);
  // `count` updates from tokens[0] on; losses and norms get one entry each.
  TrainResult (*train)(Shape, Weights<T>, Weights<T> accumulators, T* h, Tokens, int T_steps,
                       int count, const double* learning_rates, double clip, double epsilon,
                       double* losses, double* norms);
  // Nats of tokens[1:]; h becomes the state after tokens[:-1].
  bool (*score)(Shape, Weights<T>, T* h, Tokens, double* nats);
  // h after each token, (count, H); h becomes the last.
  bool (*activations)(Shape, Weights<T>, T* h, Tokens, T* values);
  // Logits (K) after one more character; h is updated.
  bool (*step)(Shape, Weights<T>, T* h, int id, T* logits);
  Draw (*generate)(Shape, Weights<T>, T* h, int first, double temperature, const double* uniforms,
                   std::size_t count, std::int32_t* ids);
  // For the accuracy tests and the bench: y = f(x), n a multiple of 16.
  void (*exp)(const T* x, T* y, std::size_t n);
  void (*tanh)(const T* x, T* y, std::size_t n);
  void (*reciprocal_root)(const T* x, T* y, std::size_t n);
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
