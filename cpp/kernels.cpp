// The native engine's entry points, compiled once for each instruction set; CHARLOOM_ISA names the
// set and the one symbol that leaves this file.
#include "kernels.hpp"

#include "network.hpp"
#include "writer.hpp"

namespace {

using charloom::Draw;
using charloom::Kernels;
using charloom::Tokens;
using charloom::TrainResult;

void read_ids(Tokens tokens, std::size_t from, int count, std::int32_t* to) {
  for (int i = 0; i < count; ++i) {
    const std::size_t at = from + static_cast<std::size_t>(i);
    to[i] = tokens.bytes == 1   ? static_cast<const std::uint8_t*>(tokens.at)[at]
            : tokens.bytes == 2 ? static_cast<const std::uint16_t*>(tokens.at)[at]
                                : static_cast<std::int32_t>(
                                      static_cast<const std::uint32_t*>(tokens.at)[at]);
  }
}

// Gradients of a_t below this keep every gradient entry, and the sum of their squares, finite.
template <typename T>
T safe_limit(int T_steps) {
  return (sizeof(T) == 4 ? T(1e15) : T(1e140)) / static_cast<T>(T_steps);
}

// The whole gradient as a block in the network's layout.
template <typename T>
void store_gradients(Network<T>& net, int T_steps, T* block) {
  std::memset(block, 0, net.layout.end * sizeof(T));
  StoreGradient<T> take{block};
  net.each_gradient(T_steps, take);
}

template <typename T>
bool gradients(Shape shape, Weights<T> weights, const std::int32_t* x, const std::int32_t* y,
               int T_steps, const T* h, double* loss, Weights<T> result, T* h_next) {
  Network<T> net(shape, T_steps, true);
  Memory<T> block(static_cast<std::size_t>(net.layout.end));
  if (!net.ok() || !block.ok()) return false;
  net.read(weights);
  net.set_state(h);
  std::memcpy(net.x, x, T_steps * sizeof(*x));
  std::memcpy(net.y, y, T_steps * sizeof(*y));
  net.run(T_steps);
  net.logits(T_steps);
  *loss = net.loss(T_steps);
  net.backward(T_steps, safe_limit<T>(T_steps));
  T* g = block.take(net.layout.end);
  store_gradients(net, T_steps, g);
  net.layout.unpack(g, result);
  net.get_state(T_steps, h_next);
  return true;
}

// The norm of the gradient where its entries may be huge: summed in double.
template <typename T>
double careful_norm(const T* block, std::ptrdiff_t count) {
  double squares = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) squares += double(block[i]) * double(block[i]);
  return __builtin_sqrt(squares);
}

template <typename T>
TrainResult train(Shape shape, Weights<T> weights, Weights<T> accumulators, T* h, Tokens tokens,
                  int T_steps, int count, const double* learning_rates, double clip,
                  double epsilon, double* losses, double* norms) {
  TrainResult result{0, false, false, 0, 0};
  Network<T> net(shape, T_steps, true);
  Memory<T> careful(static_cast<std::size_t>(net.layout.end));
  if (!net.ok() || !careful.ok()) {
    result.no_memory = true;
    return result;
  }
  T* block = careful.take(net.layout.end);
  net.read(weights);
  net.layout.pack(accumulators, net.accumulators);
  net.set_state(h);
  for (int u = 0; u < count; ++u) {
    const std::size_t e = static_cast<std::size_t>(u) * T_steps;
    read_ids(tokens, e, T_steps, net.x);
    read_ids(tokens, e + 1, T_steps, net.y);
    net.run(T_steps);
    net.logits(T_steps);
    const double loss = net.loss(T_steps);
    const bool small = net.backward(T_steps, safe_limit<T>(T_steps));
    AdaGrad<T> update(net.theta, net.accumulators, learning_rates[u], clip, epsilon);
    double norm;
    if (small && __builtin_isfinite(loss)) {
      net.each_gradient(T_steps, update);
      norm = update.norm();
    } else {
      // Perhaps not finite: look at the whole gradient before any weight changes.
      store_gradients(net, T_steps, block);
      norm = careful_norm(block, net.layout.end);
      if (!__builtin_isfinite(loss) || !__builtin_isfinite(norm)) {
        result.not_finite = true;
        result.loss = loss;
        result.norm = norm;
        break;
      }
      for (std::ptrdiff_t at = 0; at < net.layout.end; at += Simd<T>::lanes)
        update(at, load<T>(block + at));
    }
    net.refresh_transpose();
    net.carry(T_steps);
    losses[u] = loss;
    norms[u] = norm;
    ++result.updates;
  }
  net.layout.unpack(net.theta, weights);
  net.layout.unpack(net.accumulators, accumulators);
  net.get_state(0, h);
  return result;
}

constexpr int score_steps = 32;

template <typename T>
bool score(Shape shape, Weights<T> weights, T* h, Tokens tokens, double* nats) {
  Network<T> net(shape, score_steps, false);
  if (!net.ok()) return false;
  net.read(weights);
  net.set_state(h);
  for (std::size_t n = 0; n + 1 < tokens.count;) {
    const std::size_t left = tokens.count - 1 - n;
    const int steps = left < score_steps ? static_cast<int>(left) : score_steps;
    read_ids(tokens, n, steps, net.x);
    read_ids(tokens, n + 1, steps, net.y);
    net.run(steps);
    net.logits(steps);
    for (int t = 0; t < steps; ++t) {
      T* row = net.o + t * net.layout.Kp;
      const double target = row[net.y[t]];
      T most;
      const double normalizer = exponentials<T>(row, net.layout.vectors_K, most);
      nats[n + t] = __builtin_log(normalizer) - (target - double(most));
    }
    net.carry(steps);
    n += steps;
  }
  net.get_state(0, h);
  return true;
}

template <typename T>
bool activations(Shape shape, Weights<T> weights, T* h, Tokens tokens, T* values) {
  Network<T> net(shape, score_steps, false);
  if (!net.ok()) return false;
  net.read(weights);
  net.set_state(h);
  for (std::size_t n = 0; n < tokens.count;) {
    const std::size_t left = tokens.count - n;
    const int steps = left < score_steps ? static_cast<int>(left) : score_steps;
    read_ids(tokens, n, steps, net.x);
    net.run(steps);
    for (int t = 0; t < steps; ++t) net.get_state(t + 1, values + (n + t) * shape.H);
    net.carry(steps);
    n += steps;
  }
  net.get_state(0, h);
  return true;
}

template <typename T>
bool step(Shape shape, Weights<T> weights, T* h, int id, T* logits) {
  Network<T> net(shape, 1, false);
  if (!net.ok()) return false;
  net.read(weights);
  net.set_state(h);
  net.x[0] = id;
  net.run(1);
  net.logits(1);
  std::memcpy(logits, net.o, shape.K * sizeof(T));
  net.get_state(1, h);
  return true;
}

template <typename T>
Draw generate(Shape shape, Weights<T> weights, T* h, int first, double temperature,
              const double* uniforms, std::size_t count, std::int32_t* ids) {
  Writer<T> writer(shape, weights);
  if (!writer.ok()) return Draw::no_memory;
  writer.begin(h);
  int id = first;
  for (std::size_t n = 0; n < count; ++n) {
    writer.read(id);
    if (!writer.finite()) return Draw::not_finite;
    id = ids[n] = writer.draw(static_cast<T>(temperature), uniforms[n]);
  }
  if (count > 0) writer.get_state(h);
  return Draw::done;
}

template <typename T, Vec<T> (*F)(Vec<T>)>
void map(const T* x, T* y, std::size_t n) {
  constexpr std::size_t lanes = Simd<T>::lanes;
  for (std::size_t i = 0; i + lanes <= n; i += lanes) {
    Vec<T> v;
    std::memcpy(&v, x + i, sizeof v);
    v = F(v);
    std::memcpy(y + i, &v, sizeof v);
  }
}

// Independent chains of fused multiply-adds, each with values of its own: a compiler may neither
// merge nor drop them.
template <typename T>
void multiply_adds(double operations) {
  constexpr int chains = 12;
  Vec<T> a[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) a[i] = splat<T>(T(1 + i));
  const Vec<T> factor = splat<T>(T(0.999999)), term = splat<T>(T(1e-7));
  const auto rounds = static_cast<std::int64_t>(operations / (2.0 * Simd<T>::lanes * chains));
  for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < chains; ++k) a[k] = a[k] * factor + term;
  }
  Vec<T> total{};
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) total += a[i];
  volatile T keep = sum<T>(total);
  (void)keep;
}

template <typename T>
constexpr Kernels<T> table{gradients<T>, train<T>,
                           score<T>,     activations<T>,
                           step<T>,      generate<T>,
                           map<T, exp<T>>, map<T, tanh<T>>,
                           map<T, reciprocal_root>, multiply_adds<T>};

}  // namespace

#define CHARLOOM_JOIN_(a, b) a##b
#define CHARLOOM_JOIN(a, b) CHARLOOM_JOIN_(a, b)
#define CHARLOOM_TEXT_(a) #a
#define CHARLOOM_TEXT(a) CHARLOOM_TEXT_(a)

namespace charloom {
extern const InstructionSet CHARLOOM_JOIN(kernels_, CHARLOOM_ISA);
const InstructionSet CHARLOOM_JOIN(kernels_, CHARLOOM_ISA){CHARLOOM_TEXT(CHARLOOM_ISA),
                                                           table<float>, table<double>};
}  // namespace charloom
