// The entry points of the native engine. This file is compiled once per instruction set and type.
// CHARLOOM_ISA is the name of the set and CHARLOOM_TYPE is float or double; together they name the
// only symbol that the file exports, such as kernels_v3_float.
#include "kernels.hpp"

#include "classic_training.hpp"
#include "draw.hpp"
#include "phases.hpp"
#include "reader.hpp"
#include "writer.hpp"

namespace {

using charloom::Draw;
using charloom::Kernels;
using charloom::Model;
using charloom::Tokens;

// Write the gradients of all inputs of pairs to an array (pairs, G·H).
template <typename T>
void unpack_pair_gradients(const PanelLayout<T>& layout, const RowGradients<T>& gradients,
                           T* result) {
  const std::ptrdiff_t G_H = layout.shape.gate_rows();
  std::memset(result, 0, static_cast<std::size_t>(layout.shape.pairs * G_H) * sizeof(T));
  for (int i = 0; i < gradients.read(); ++i)
    layout.unpack_row(gradients.at(i), result + gradients.row(i) * G_H);
}

template <typename T>
bool gradients(const Model<T>& model, const std::int32_t* x, const std::int32_t* y,
               const std::int32_t* columns, int T_steps, int B, State<T> state, Descent descent,
               std::int64_t update, double* loss, Arrays<T> result, State<T> next) {
  const NoSubnormals fast;
  const Shape shape = model.shape;
  if (is_classic(shape, B, descent)) {
    Network<T> net(shape, T_steps, true);
    Memory<T> memory(static_cast<std::size_t>(net.layout.end));
    if (!net.ok() || !memory.ok()) return false;
    T* g = memory.take(net.layout.end);
    net.read(Weights<T>(model.arrays));
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
  const PanelLayout<T> layout(shape, B);
  const Dropout<T> dropout(descent.dropout, descent.seed, static_cast<std::uint64_t>(update));
  Memory<T> memory(static_cast<std::size_t>(2 * layout.end + layout.back_end));
  LayerStack<T> stack(layout, model, T_steps, streams_of(B, 1, 0), {true, dropout.any()});
  if (!memory.ok() || !stack.ok()) return false;
  stack.set_pair_inputs(model.pair_inputs());
  T *block = memory.take(layout.end), *g = memory.take(layout.end);
  T* back = memory.take(layout.back_end);
  layout.pack(model.arrays, block);
  layout.transpose(block, back, 0, 1);
  stack.set_state({state.h, state.cell, state.recent});
  if (stack.mixer.on()) stack.mixer.set_columns(columns, T_steps);
  std::memcpy(stack.x, x, sizeof(*x) * T_steps * B);
  std::memcpy(stack.y, y, sizeof(*y) * T_steps * B);
  stack.forward(block, T_steps, dropout);
  *loss = stack.loss(T_steps, T(1) / static_cast<T>(B)) / B;
  stack.backward(back, T_steps, dropout.any(), g);
  layout.unpack(g, result);
  if (shape.pairs) unpack_pair_gradients(layout, stack.pair_gradients, result[shape.arrays() - 1]);
  stack.get_state(next, T_steps);
  return true;
}

template <typename T>
void* open_training(const Model<T>& model, int T_steps, int B, const Descent& descent, int threads) {
  InTraining<T>* network;
  if (is_classic(model.shape, B, descent))
    network = new (std::nothrow) ClassicTraining<T>(model.shape, T_steps, descent);
  else
    network = new (std::nothrow) Training<T>(model, T_steps, B, descent, threads);
  if (network != nullptr && network->ok()) return network;
  delete network;
  return nullptr;
}

template <typename T>
void close_training(void* network) {
  delete static_cast<InTraining<T>*>(network);
}

template <typename T>
void load_arrays(void* network, Arrays<T> weights, const Arrays<T>* slots, State<T> state) {
  static_cast<InTraining<T>*>(network)->load_arrays(weights, slots, state);
}

template <typename T>
void store_arrays(const void* network, Arrays<T> weights, const Arrays<T>* slots, State<T> state) {
  static_cast<const InTraining<T>*>(network)->store_arrays(weights, slots, state);
}

template <typename T>
TrainResult train(void* network, const charloom::Windows& windows, const Team& team, double* losses,
                  double* norms) {
  return static_cast<InTraining<T>*>(network)->train(windows, team, losses, norms);
}

constexpr int score_steps = 32;

// Scoring, in one phase: each part reads its own streams to their ends.
template <typename T>
struct ScoreJob {
  const PanelLayout<T>& layout;
  const Model<T>& model;
  State<T> state;
  const std::int32_t* tokens;
  std::size_t count;
  int B, threads;
  double* nats;
  bool failed[Training<T>::most_threads];

  bool next_phase() const { return false; }

  void do_part(int part) {
    const Streams mine = streams_of(B, threads, part);
    Reader<T> reader(layout, model, score_steps, mine);
    failed[part] = !reader.ok();
    if (failed[part]) return;
    reader.begin(state);
    for (std::size_t n = 0; n + 1 < count;) {
      const std::size_t left = count - 1 - n;
      const int steps = left < score_steps ? static_cast<int>(left) : score_steps;
      for (int t = 0; t < steps; ++t)
        for (int s = 0; s < mine.count; ++s) {
          const std::int32_t* from = tokens + (n + t) * B + mine.first + s;
          reader.stack.x[t * mine.count + s] = from[0];
          reader.stack.y[t * mine.count + s] = from[B];
        }
      reader.run(steps);
      for (int t = 0; t < steps; ++t)
        for (int s = 0; s < mine.count; ++s) {
          T normalizer;
          nats[(n + t) * B + mine.first + s] =
              reader.stack.row_loss(std::ptrdiff_t(t) * mine.count + s, normalizer);
        }
      reader.stack.move_state_to_start(steps);
      n += steps;
    }
    reader.stack.get_state(state, 0);
  }
};

template <typename T>
bool score(const Model<T>& model, State<T> state, const std::int32_t* tokens, std::size_t count,
           int B, Team team, double* nats) {
  const PanelLayout<T> layout(model.shape, B);
  ScoreJob<T> job{layout, model, state, tokens, count, B, team.threads, nats, {}};
  run_phases(team, job);
  bool failed = false;
  for (int part = 0; part < team.threads; ++part) failed = failed || job.failed[part];
  return !failed;
}

template <typename T>
bool activations(const Model<T>& model, State<T> state, const std::int32_t* tokens,
                 std::size_t count, State<T> values) {
  const NoSubnormals fast;
  const Shape shape = model.shape;
  const PanelLayout<T> layout(shape, 1);
  Reader<T> reader(layout, model, score_steps, streams_of(1, 1, 0));
  if (!reader.ok()) return false;
  reader.begin(state);
  const int L = shape.layers, H = shape.H;
  for (std::size_t n = 0; n < count;) {
    const std::size_t left = count - n;
    const int steps = left < score_steps ? static_cast<int>(left) : score_steps;
    std::memcpy(reader.stack.x, tokens + n, sizeof(*tokens) * steps);
    reader.run(steps);
    for (int t = 0; t < steps; ++t)
      for (int l = 0; l < L; ++l)
        for (int which = 0; which < shape.states(); ++which)
          for (int i = 0; i < H; ++i)
            (which ? values.cell : values.h)[((n + t) * L + l) * H + i] =
                reader.stack.state_at(l, which, t + 1, i);
    reader.stack.move_state_to_start(steps);
    n += steps;
  }
  reader.end(state);
  return true;
}

template <typename T>
bool step(const Model<T>& model, State<T> state, const std::int32_t* ids, int B, T* logits) {
  const NoSubnormals fast;
  const PanelLayout<T> layout(model.shape, B);
  Reader<T> reader(layout, model, 1, streams_of(B, 1, 0));
  if (!reader.ok()) return false;
  reader.begin(state);
  std::memcpy(reader.stack.x, ids, sizeof(*ids) * B);
  reader.run(1);
  for (int s = 0; s < B; ++s)
    std::memcpy(logits + std::ptrdiff_t(s) * model.shape.K, reader.stack.o + s * layout.Kp,
                model.shape.K * sizeof(T));
  reader.stack.get_state(state, 1);
  return true;
}

// The text that is generated: `ids` begins with the `n` ids that were read; the ids that are drawn
// follow.
struct GeneratedText {
  std::int32_t* ids;
  std::size_t n, count;
  const double* uniforms;

  // Draw the id at `at` from the logits before it. Return false if they are not finite.
  template <typename T>
  bool draw(const CharacterSampler<T>& character_sampler, T* logits, std::size_t at) {
    if (!character_sampler.finite(logits)) return false;
    ids[at] = character_sampler.draw(logits, ids, at, uniforms[at - n]);
    return true;
  }
};

// Generate with the plain network of one layer.
template <typename T>
CHARLOOM_NOINLINE Draw generate_classic(Shape shape, Arrays<T> weights, State<T> state, const Sampler& sampler,
                      std::int32_t* order, GeneratedText text) {
  const NoSubnormals fast;
  Writer<T> writer(shape, Weights<T>(weights));
  if (!writer.ok()) return Draw::no_memory;
  const CharacterSampler<T> character_sampler(shape.K, writer.vectors(), sampler, order);
  writer.begin(state);
  for (std::size_t at = text.n; at < text.n + text.count; ++at) {
    writer.read(text.ids[at - 1]);
    if (!text.draw(character_sampler, writer.logits(), at)) return Draw::not_finite;
  }
  if (text.count > 0) writer.end(state);
  return Draw::done;
}

// Generate with any network. For each character there is a phase for each layer and one for the
// logits, before the character is drawn. A part is a share of the panels, so no sum depends on the
// number of threads.
template <typename T>
struct GenerateJob {
  Reader<T>& reader;
  const CharacterSampler<T>& character_sampler;
  int layers, parts;
  GeneratedText text;
  std::size_t at;  // the index of the next id
  int layer = 0;   // the number of layers in the logits' phase
  bool finite = true;

  void do_part(int part) {
    const Share share{part, parts};
    if (layer < layers)
      reader.forward_layer(layer, share);
    else
      reader.logits(share);
  }

  bool next_phase() {
    if (layer++ < layers) return true;
    reader.mix();
    reader.stack.move_state_to_start(1);
    finite = text.draw(character_sampler, reader.stack.o, at);
    if (!finite || ++at == text.n + text.count) return false;
    begin_character();
    return true;
  }

  void begin_character() {
    reader.stack.x[0] = text.ids[at - 1];
    reader.begin_step();
    layer = 0;
  }
};

template <typename T>
CHARLOOM_NOINLINE Draw generate_any(const Model<T>& model, State<T> state, const Sampler& sampler,
                  std::int32_t* order, const Team& team, GeneratedText text) {
  const PanelLayout<T> layout(model.shape, 1);
  Reader<T> reader(layout, model, 1, streams_of(1, 1, 0));
  if (!reader.ok()) return Draw::no_memory;
  const CharacterSampler<T> character_sampler(model.shape.K, layout.logits.vectors, sampler, order);
  reader.begin(state);
  if (text.count == 0) return Draw::done;
  GenerateJob<T> job{reader, character_sampler, model.shape.layers, team.threads, text, text.n};
  job.begin_character();
  run_phases(team, job);
  if (!job.finite) return Draw::not_finite;
  reader.end(state);
  return Draw::done;
}

template <typename T>
Draw generate(const Model<T>& model, State<T> state, const std::int32_t* read, std::size_t n,
              Sampler sampler, const double* uniforms, std::size_t count, Team team,
              std::int32_t* ids) {
  const Shape shape = model.shape;
  Memory<std::int32_t> memory(n + count + static_cast<std::size_t>(shape.K));
  if (!memory.ok()) return Draw::no_memory;
  std::int32_t *order = memory.take(shape.K), *text = memory.take(n + count);
  std::memcpy(text, read, n * sizeof(*read));
  const Draw result =
      shape.cell == Cell::rnn && shape.layers == 1 && !shape.has_recent()
          ? generate_classic<T>(shape, model.arrays, state, sampler, order,
                                {text, n, count, uniforms})
          : generate_any<T>(model, state, sampler, order, team, {text, n, count, uniforms});
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

// Run independent chains of fused multiply-adds. Each chain has different values, so that the
// compiler can neither merge nor remove them.
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
constexpr Kernels<T> table{gradients<T>, open_training<T>,
                           close_training<T>,     load_arrays<T>,
                           store_arrays<T>, train<T>,
                           score<T>,     activations<T>,
                           step<T>,      generate<T>,
                           map<T, exp<T>>, map<T, log<T>>, map<T, tanh<T>>,
                           map<T, sigmoid<T>>, map<T, reciprocal_root>,
                           map<T, reciprocal>, map<T, root>,
                           multiply_adds<T>};

}  // namespace

#define CHARLOOM_JOIN_(isa, type) kernels_##isa##_##type
#define CHARLOOM_JOIN(isa, type) CHARLOOM_JOIN_(isa, type)
#define CHARLOOM_KERNELS CHARLOOM_JOIN(CHARLOOM_ISA, CHARLOOM_TYPE)

namespace charloom {
extern const Kernels<CHARLOOM_TYPE> CHARLOOM_KERNELS;
const Kernels<CHARLOOM_TYPE> CHARLOOM_KERNELS = table<CHARLOOM_TYPE>;
}  // namespace charloom
