// The native engine's entry points, compiled once for each instruction set; CHARLOOM_ISA names the
// set and the one symbol that leaves this file.
#include "kernels.hpp"

#include "draw.hpp"
#include "network.hpp"
#include "reader.hpp"
#include "training.hpp"
#include "writer.hpp"

namespace {

using charloom::Draw;
using charloom::Kernels;
using charloom::Tokens;

// The plain network of one layer, one stream, AdaGrad and clipping by value has kernels of its own.
bool is_classic(Shape shape, int B, const Descent& how) {
  return shape.cell == Cell::rnn && shape.layers == 1 && B == 1 &&
         how.rule == charloom::Rule::adagrad && how.clip > 0 && !how.clip_by_norm && !how.mean &&
         how.dropout == 0 && how.weight_decay == 0;
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
bool gradients(Shape shape, Arrays<T> weights, const std::int32_t* x, const std::int32_t* y,
               int T_steps, int B, State<T> state, Descent how, std::int64_t update, double* loss,
               Arrays<T> result, State<T> next) {
  const NoSubnormals fast;
  if (is_classic(shape, B, how)) {
    Network<T> net(shape, T_steps, true);
    Memory<T> memory(static_cast<std::size_t>(net.layout.end));
    if (!net.ok() || !memory.ok()) return false;
    T* g = memory.take(net.layout.end);
    net.read(Weights<T>(weights));
    net.set_state(state.h);
    std::memcpy(net.x, x, sizeof(*x) * T_steps);
    std::memcpy(net.y, y, sizeof(*y) * T_steps);
    net.run(T_steps);
    net.logits(T_steps);
    *loss = net.loss(T_steps);
    net.backward(T_steps, safe_limit<T>(T_steps));
    store_gradients(net, T_steps, g);
    net.layout.unpack(g, Weights<T>(result));
    net.get_state(T_steps, next.h);
    return true;
  }
  const PanelLayout<T> layout(shape);
  const Dropout<T> drop(how.dropout, how.seed, static_cast<std::uint64_t>(update));
  Memory<T> memory(static_cast<std::size_t>(2 * layout.end + layout.back_end));
  Slice<T> slice(layout, T_steps, streams_of(B, 1, 0), {true, drop.any()});
  if (!memory.ok() || !slice.ok()) return false;
  T *block = memory.take(layout.end), *g = memory.take(layout.end);
  T* back = memory.take(layout.back_end);
  layout.pack(weights, block);
  layout.transpose(block, back, 0, 1);
  slice.set_state({state.h, state.cell});
  std::memcpy(slice.x, x, sizeof(*x) * T_steps * B);
  std::memcpy(slice.y, y, sizeof(*y) * T_steps * B);
  slice.forward(block, T_steps, drop);
  *loss = slice.loss(T_steps, T(1) / static_cast<T>(B)) / B;
  slice.backward(back, T_steps, drop.any(), g);
  layout.unpack(g, result);
  slice.get_state(next, T_steps);
  return true;
}

// The norm of the gradient where its entries may be huge: summed in double.
template <typename T>
double careful_norm(const T* block, std::ptrdiff_t count) {
  double squares = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) squares += double(block[i]) * double(block[i]);
  return __builtin_sqrt(squares);
}

bool read_ids(Tokens tokens, std::size_t from, int count, int K, std::int32_t* to) {
  bool below = true;
  for (int i = 0; i < count; ++i) {
    to[i] = id_at(tokens, from + static_cast<std::size_t>(i));
    below = below && to[i] >= 0 && to[i] < K;
  }
  return below;
}

template <typename T>
TrainResult train_classic(Shape shape, Arrays<T> arrays, Arrays<T> slots, T* h,
                          const charloom::Windows& windows, const Descent& how, double* losses,
                          double* norms) {
  const NoSubnormals fast;
  TrainResult result{};
  const int T_steps = windows.T;
  const Weights<T> weights(arrays), accumulators(slots);
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
  for (int u = 0; u < windows.count; ++u) {
    const std::size_t e = static_cast<std::size_t>(windows.starts[0]) +
                          static_cast<std::size_t>(u) * T_steps;
    if (!read_ids(windows.tokens, e, T_steps, shape.K, net.x) ||
        !read_ids(windows.tokens, e + 1, T_steps, shape.K, net.y)) {
      result.bad_id = true;
      break;
    }
    net.run(T_steps);
    net.logits(T_steps);
    const double loss = net.loss(T_steps);
    const bool small = net.backward(T_steps, safe_limit<T>(T_steps));
    AdaGrad<T> update(net.theta, net.accumulators, windows.learning_rates[u], how.clip, how.epsilon);
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

template <typename T>
TrainResult train(Shape shape, Arrays<T> weights, const Arrays<T>* slots, State<T> state,
                  charloom::Windows windows, Descent how, Team team,
                  charloom::Workspace workspace, double* losses, double* norms) {
  if (is_classic(shape, windows.B, how))
    return train_classic<T>(shape, weights, slots[0], state.h, windows, how, losses, norms);
  const PanelLayout<T> layout(shape);
  return Training<T>(layout, windows, how, team, workspace, losses, norms)
      .run(weights, slots, state);
}

constexpr int score_steps = 32;

// What one thread scores: its own streams, to the end.
template <typename T>
struct Scoring {
  const PanelLayout<T>& layout;
  Arrays<T> weights;
  State<T> state;
  const std::int32_t* tokens;
  std::size_t count;
  int B, threads;
  double* nats;
  bool failed[Training<T>::most_threads];

  void work(int thread) {
    const NoSubnormals fast;
    const Streams mine = streams_of(B, threads, thread);
    Reader<T> reader(layout, weights, score_steps, mine);
    failed[thread] = !reader.ok();
    if (failed[thread]) return;
    reader.slice.set_state({state.h, state.cell});
    for (std::size_t n = 0; n + 1 < count;) {
      const std::size_t left = count - 1 - n;
      const int steps = left < score_steps ? static_cast<int>(left) : score_steps;
      for (int t = 0; t < steps; ++t)
        for (int s = 0; s < mine.count; ++s) {
          const std::int32_t* from = tokens + (n + t) * B + mine.first + s;
          reader.slice.x[t * mine.count + s] = from[0];
          reader.slice.y[t * mine.count + s] = from[B];
        }
      reader.run(steps);
      for (int t = 0; t < steps; ++t)
        for (int s = 0; s < mine.count; ++s) {
          T normalizer;
          nats[(n + t) * B + mine.first + s] =
              reader.slice.surprise(std::ptrdiff_t(t) * mine.count + s, normalizer);
        }
      reader.slice.carry(steps);
      n += steps;
    }
    reader.slice.get_state(state, 0);
  }
};

template <typename T>
bool score(Shape shape, Arrays<T> weights, State<T> state, const std::int32_t* tokens,
           std::size_t count, int B, Team team, double* nats) {
  const PanelLayout<T> layout(shape);
  Scoring<T> job{layout, weights, state, tokens, count, B, team.threads, nats, {}};
  team.run(team.self, [](void* self, int thread) { static_cast<Scoring<T>*>(self)->work(thread); },
           &job);
  bool failed = false;
  for (int thread = 0; thread < team.threads; ++thread) failed = failed || job.failed[thread];
  return !failed;
}

template <typename T>
bool activations(Shape shape, Arrays<T> weights, State<T> state, const std::int32_t* tokens,
                 std::size_t count, State<T> values) {
  const NoSubnormals fast;
  const PanelLayout<T> layout(shape);
  Reader<T> reader(layout, weights, score_steps, streams_of(1, 1, 0));
  if (!reader.ok()) return false;
  reader.begin(state);
  const int L = shape.layers, H = shape.H;
  for (std::size_t n = 0; n < count;) {
    const std::size_t left = count - n;
    const int steps = left < score_steps ? static_cast<int>(left) : score_steps;
    std::memcpy(reader.slice.x, tokens + n, sizeof(*tokens) * steps);
    reader.run(steps);
    for (int t = 0; t < steps; ++t)
      for (int l = 0; l < L; ++l)
        for (int which = 0; which < shape.states(); ++which)
          for (int i = 0; i < H; ++i)
            (which ? values.cell : values.h)[((n + t) * L + l) * H + i] =
                reader.slice.state_at(l, which, t + 1, i);
    reader.slice.carry(steps);
    n += steps;
  }
  reader.end(state);
  return true;
}

template <typename T>
bool step(Shape shape, Arrays<T> weights, State<T> state, const std::int32_t* ids, int B,
          T* logits) {
  const NoSubnormals fast;
  const PanelLayout<T> layout(shape);
  Reader<T> reader(layout, weights, 1, streams_of(B, 1, 0));
  if (!reader.ok()) return false;
  reader.slice.set_state({state.h, state.cell});
  std::memcpy(reader.slice.x, ids, sizeof(*ids) * B);
  reader.run(1);
  for (int s = 0; s < B; ++s)
    std::memcpy(logits + std::ptrdiff_t(s) * shape.K, reader.slice.o + s * layout.Kp,
                shape.K * sizeof(T));
  reader.slice.get_state(state, 1);
  return true;
}

// What is written: `ids` begins with the `n` ids read and goes on with those drawn.
struct Text {
  std::int32_t* ids;
  std::size_t n, count;
  const double* uniforms;

  // Draws the character at `at` from the logits before it; false where they are not finite.
  template <typename T>
  bool draw(const Drawer<T>& drawer, T* logits, std::size_t at) {
    if (!drawer.finite(logits)) return false;
    ids[at] = drawer.draw(logits, ids, at, uniforms[at - n]);
    return true;
  }
};

// The plain network of one layer.
template <typename T>
Draw write(Shape shape, Arrays<T> weights, State<T> state, const Sampler& sampler,
           std::int32_t* order, Text text) {
  const NoSubnormals fast;
  Writer<T> writer(shape, Weights<T>(weights));
  if (!writer.ok()) return Draw::no_memory;
  const Drawer<T> drawer(shape.K, writer.vectors(), sampler, order);
  writer.begin(state);
  for (std::size_t at = text.n; at < text.n + text.count; ++at) {
    writer.read(text.ids[at - 1]);
    if (!text.draw(drawer, writer.logits(), at)) return Draw::not_finite;
  }
  if (text.count > 0) writer.end(state);
  return Draw::done;
}

// Any network, by threads that share every step: each has some panels of a layer, so that no sum depends
// on their number. The first one draws.
template <typename T>
struct Writing {
  Reader<T>& reader;
  const Drawer<T>& drawer;
  const Team& team;
  int layers;
  Text text;
  bool finite = true;

  void work(int thread) {
    const NoSubnormals fast;
    const Share share{thread, team.threads};
    for (std::size_t at = text.n; at < text.n + text.count; ++at) {
      if (thread == 0) reader.slice.x[0] = text.ids[at - 1];
      meet();
      if (!finite) return;
      for (int l = 0; l < layers; ++l) {
        reader.layer(l, share);
        meet();
      }
      reader.logits(share);
      meet();
      if (thread > 0) continue;
      reader.slice.carry(1);
      finite = text.draw(drawer, reader.slice.o, at);
    }
  }

  void meet() const { team.barrier(team.self); }
};

template <typename T>
Draw write_together(Shape shape, Arrays<T> weights, State<T> state, const Sampler& sampler,
                    std::int32_t* order, const Team& team, Text text) {
  const PanelLayout<T> layout(shape);
  Reader<T> reader(layout, weights, 1, streams_of(1, 1, 0));
  if (!reader.ok()) return Draw::no_memory;
  const Drawer<T> drawer(shape.K, layout.logits.vectors, sampler, order);
  reader.begin(state);
  Writing<T> job{reader, drawer, team, shape.layers, text};
  team.run(team.self, [](void* self, int thread) { static_cast<Writing<T>*>(self)->work(thread); },
           &job);
  if (!job.finite) return Draw::not_finite;
  if (text.count > 0) reader.end(state);
  return Draw::done;
}

template <typename T>
Draw generate(Shape shape, Arrays<T> weights, State<T> state, const std::int32_t* read,
              std::size_t n, Sampler sampler, const double* uniforms, std::size_t count, Team team,
              std::int32_t* ids) {
  Memory<std::int32_t> room(n + count + static_cast<std::size_t>(shape.K));
  if (!room.ok()) return Draw::no_memory;
  std::int32_t *order = room.take(shape.K), *text = room.take(n + count);
  std::memcpy(text, read, n * sizeof(*read));
  const Draw result =
      shape.cell == Cell::rnn && shape.layers == 1
          ? write<T>(shape, weights, state, sampler, order, {text, n, count, uniforms})
          : write_together<T>(shape, weights, state, sampler, order, team,
                              {text, n, count, uniforms});
  std::memcpy(ids, text + n, count * sizeof(*ids));
  return result;
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
                           map<T, sigmoid<T>>, map<T, reciprocal_root>,
                           map<T, reciprocal>, map<T, root>,
                           multiply_adds<T>};

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
