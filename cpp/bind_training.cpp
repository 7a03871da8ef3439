// Binds the calls for training: the gradient of one window, and the network that is trained.
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "gil.hpp"
#include "threads.hpp"

namespace charloom {

using namespace nb::literals;

namespace {

// The arrays of each slot of an update rule, and at the end the averaged weights, if there are any.
template <typename T>
class Slots {
 public:
  Slots(const Shape& shape, const Descent& descent, const nb::tuple& given) {
    require(given.size() == static_cast<std::size_t>(descent.slots()), "wrong number of slots");
    bundles_.reserve(given.size());
    for (const nb::handle slot : given) bundles_.emplace_back(shape, nb::cast<nb::tuple>(slot));
    for (const ParameterArrays<T>& bundle : bundles_) arrays_.push_back(bundle.arrays.data());
  }
  const Arrays<T>* arrays() const { return arrays_.data(); }

 private:
  std::vector<ParameterArrays<T>> bundles_;
  std::vector<Arrays<T>> arrays_;
};

void require_columns(const In<std::int32_t>& columns, int count) {
  for (std::size_t i = 0; i < columns.size(); ++i)
    require(columns.data()[i] >= 0 && columns.data()[i] < count,
            "a column is not one of the n-grams' columns");
}

template <typename T>
double gradients(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
                 const PairTable* pairs, nb::tuple weights, In<std::int32_t> x,
                 In<std::int32_t> y, In<std::int32_t> columns, nb::tuple state,
                 const Descent& descent, std::int64_t update, nb::tuple gradients, nb::tuple next) {
  const ParameterArrays<T> net(shape, weights), result(shape, gradients);
  const Model<T> model = model_of<T>(shape, net.arrays.data(), ngrams, pairs);
  require(x.ndim() == 2 && y.ndim() == 2 && x.shape(0) == y.shape(0) && x.shape(1) == y.shape(1) &&
              x.size() > 0 && x.size() < most_rows,
          "x and y must have the same shape (T, B), neither empty nor huge");
  require_below(x, shape.K);
  require_below(y, shape.K);
  require(columns.ndim() == 2 && columns.shape(0) == x.shape(0) && columns.shape(1) == x.shape(1),
          "columns must have the shape of x");
  require_columns(columns, ngrams == nullptr ? 1 : model.ngrams.columns);
  const std::size_t B = x.shape(1);
  const State<T> from = state_of<T>(shape, state, B), to = result_state_of<T>(shape, next, B);
  double loss = 0;
  bool ok;
  {
    WithoutGil released;
    ok = kernels.call.gradients(model, x.data(), y.data(), columns.data(),
                                static_cast<int>(x.shape(0)), static_cast<int>(B), from, descent,
                                update, &loss, result.arrays.data(), to);
  }
  require_memory(ok);
  return loss;
}

// Throw std::invalid_argument unless each index, with `offset` added, is in the text: `read` tokens are read from
// there on.
void require_in_text(const In<std::int64_t>& indices, std::int64_t offset, std::uint64_t read,
                     std::uint64_t tokens) {
  require(offset > -most_place && offset < most_place, "the position is out of range");
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::int64_t index = indices.data()[i];
    require(index > -most_place && index < most_place, "an index is out of range");
    require(index + offset >= 0 && static_cast<std::uint64_t>(index + offset) + read <= tokens,
            "a stream's windows are not in the text");
  }
}

// The ids of a text. The object keeps the array alive; its dtype is checked when it is made.
class Text {
 public:
  explicit Text(Bytes ids) : tokens(tokens_of(ids)), ids_(std::move(ids)) {}

  const Tokens tokens;

 private:
  Bytes ids_;
};

// A network that is trained. It stays in the layout of the kernels between calls. One call at a time can use it.
template <typename T>
class Training {
 public:
  Training(const Kernels<T>& call, const Shape& shape, const NGramTable* ngrams, const PairTable* pairs,
           const Descent& descent, std::size_t seq_length, std::size_t streams, std::size_t threads)
      : call_(call), shape_(shape), descent_(descent), T_(seq_length), B_(streams), threads_(threads) {
    require(B_ > 0 && T_ > 0 && B_ < most_rows && T_ < most_rows && B_ * T_ < most_rows,
            "the window is empty or too large");
    require_threads(threads, streams);
    const Model<T> model = model_of<T>(shape, nullptr, ngrams, pairs);
    network_ = call.open_training(model, static_cast<int>(T_), static_cast<int>(B_), descent,
                         static_cast<int>(threads));
    require_memory(network_ != nullptr);
  }
  ~Training() {
    if (network_ != nullptr) call_.close_training(network_);
  }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  void load(nb::tuple weights, nb::tuple slots, nb::tuple state) {
    const ParameterArrays<T> net(shape_, weights);
    const Slots<T> kept(shape_, descent_, slots);
    const State<T> from = state_of<T>(shape_, state, B_);
    pair_arrays_ = pair_arrays(weights, slots);
    loaded_ = true;
    WithoutGil released;
    call_.load_arrays(network_, net.arrays.data(), kept.arrays(), from);
  }

  void store(nb::tuple weights, nb::tuple slots, nb::tuple state) const {
    require(loaded_, "nothing was loaded");
    const ParameterArrays<T> net(shape_, weights);
    const Slots<T> kept(shape_, descent_, slots);
    const State<T> to = result_state_of<T>(shape_, state, B_);
    const std::vector<nb::object> given = pair_arrays(weights, slots);
    for (std::size_t i = 0; i < given.size(); ++i)
      require(given[i].is(pair_arrays_[i]), "the inputs of pairs are not the arrays that were loaded");
    WithoutGil released;
    call_.store_arrays(network_, net.arrays.data(), kept.arrays(), to);
  }

  // Return nothing if all updates were applied.
  std::optional<TrainResult> train(const Text& text, const In<std::int64_t>& starts, const In<std::int64_t>& places,
                    const In<bool>& resets, const In<std::uint8_t>& columns, std::int64_t position,
                    const In<double>& learning_rates, std::int64_t update,
                    const Array<double>& results) {
    require(loaded_, "nothing was loaded");
    const Windows windows = windows_of(text.tokens, starts, places.is_valid() ? places : starts, resets,
                                       columns, position, learning_rates, update);
    require(results.ndim() == 2 && results.shape(0) == 2 && results.shape(1) == learning_rates.size(),
            "results must have the shape (2, updates)");
    double* const losses = results.data();
    const TrainResult result = [&] {
      WithoutGil released;
      ThreadTeam team(static_cast<int>(threads_));
      return call_.train(network_, windows, team.interface(), losses, losses + windows.count);
    }();
    if (result.updates == windows.count) return std::nullopt;
    return result;
  }

 private:
  // Throws std::invalid_argument unless every window lies in the text.
  Windows windows_of(const Tokens& tokens, const In<std::int64_t>& starts, const In<std::int64_t>& places,
                     const In<bool>& resets, const In<std::uint8_t>& columns, std::int64_t position,
                     const In<double>& learning_rates, std::int64_t update) const {
    const std::size_t count = learning_rates.size();
    const bool follow = starts.ndim() == 1;  // each window follows the one before it
    require(count < (1u << 30), "too many updates in one call");
    require_length(learning_rates, count, "learning_rates must have one axis");
    for (const In<std::int64_t>* indices : {&starts, &places})
      require(indices->ndim() == (follow ? 1u : 2u) && indices->shape(follow ? 0 : 1) == B_ &&
                  (follow || indices->shape(0) == count),
              "starts and places must have the shape (B,) or (updates, B)");
    if (resets.is_valid()) require_length(resets, count, "resets must have one entry per update");
    if (columns.is_valid()) require_length(columns, tokens.count, "columns must have one entry per token");
    const std::int64_t offset = follow ? position : 0;
    require_in_text(starts, offset, (follow ? count : 1) * T_ + 1, tokens.count);
    require_in_text(places, offset, 0, static_cast<std::uint64_t>(most_place));
    return {tokens,
            starts.data(),
            places.data(),
            offset,
            follow ? 0 : static_cast<std::ptrdiff_t>(B_),
            follow ? static_cast<std::ptrdiff_t>(T_) : 0,
            resets.is_valid() ? reinterpret_cast<const std::uint8_t*>(resets.data()) : nullptr,
            columns.is_valid() ? columns.data() : nullptr,
            static_cast<int>(B_),
            static_cast<int>(T_),
            static_cast<int>(count),
            learning_rates.data(),
            update};
  }

  // Return the inputs of pairs and their slots; nothing without pairs. They are the last arrays.
  std::vector<nb::object> pair_arrays(const nb::tuple& weights, const nb::tuple& slots) const {
    std::vector<nb::object> arrays;
    if (!shape_.pairs) return arrays;
    const auto last = static_cast<std::size_t>(shape_.arrays() - 1);
    arrays.emplace_back(weights[last]);
    for (const nb::handle slot : slots) arrays.emplace_back(nb::cast<nb::tuple>(slot)[last]);
    return arrays;
  }

  const Kernels<T>& call_;
  const Shape shape_;
  const Descent descent_;
  const std::size_t T_, B_, threads_;
  void* network_ = nullptr;
  bool loaded_ = false;
  std::vector<nb::object> pair_arrays_;  // which the kernels read and write
};

template <typename T>
Training<T>* open_training(const TypedKernels<T>& kernels, const Shape& shape, const NGramTable* ngrams,
                           const PairTable* pairs, const Descent& descent, std::size_t seq_length,
                           std::size_t streams, std::size_t threads) {
  return new Training<T>(kernels.call, shape, ngrams, pairs, descent, seq_length, streams, threads);
}

}  // namespace

template <typename T>
void bind_training(nb::module_& m, const char* name, KernelsClass<T>& kernels) {
  nb::class_<Training<T>>(m, name, "A network that is trained, in the layout of the kernels.")
      .def("load", &Training<T>::load, nb::kw_only(), "weights"_a, "slots"_a, "state"_a)
      .def("store", &Training<T>::store, nb::kw_only(), "weights"_a, "slots"_a, "state"_a)
      .def("train", &Training<T>::train, nb::kw_only(), "text"_a, "starts"_a.noconvert(),
           "places"_a.noconvert().none(), "resets"_a.noconvert().none(), "columns"_a.noconvert().none(), "position"_a,
           "learning_rates"_a.noconvert(), "update"_a, "results"_a.noconvert());
  kernels.def("gradients", gradients<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(),
              "pairs"_a.none(), "weights"_a, "x"_a.noconvert(), "y"_a.noconvert(),
              "columns"_a.noconvert(), "state"_a, "descent"_a, "update"_a, "gradients"_a, "next"_a);
  // The n-grams and pairs stay as long as the network.
  kernels.def("open_training", open_training<T>, nb::kw_only(), "shape"_a, "ngrams"_a.none(),
              "pairs"_a.none(), "descent"_a, "seq_length"_a, "streams"_a, "threads"_a,
              nb::keep_alive<0, 3>(), nb::keep_alive<0, 4>(), nb::rv_policy::take_ownership);
}

void bind_text(nb::module_& m) {
  nb::class_<Text>(m, "Text", "The ids of a text.")
      .def(nb::init<Bytes>(), nb::kw_only(), "ids"_a.noconvert())
      .def_prop_ro("length", [](const Text& text) { return text.tokens.count; });
}

template void bind_training<float>(nb::module_&, const char*, KernelsClass<float>&);
template void bind_training<double>(nb::module_&, const char*, KernelsClass<double>&);

}  // namespace charloom
